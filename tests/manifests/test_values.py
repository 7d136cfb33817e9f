"""The charts' values, as far as they can be judged without the charts: every word in them, at every depth, is one that
its chart knows, and those that we need are there.

The charts themselves are not to be had on a machine without the internet, so nothing is rendered here. What each of
them knows stands in schemas/values.json, as far as we give it anything: a misspelt word would be taken without a sound.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.rendered import K8S, Thing, documents, named, read

pytestmark = pytest.mark.xdist_group("manifests")

Words = list[str] | None
"""What may stand in one place; None where the chart only passes on what it is given there."""

READ: Mapping[str, Mapping[str, Words]] = json.loads(
    (Path(__file__).parent / "schemas" / "values.json").read_text(encoding="utf-8")
)
EVERYWHERE = READ["every chart"]
KNOWN = {chart: words for chart, words in READ.items() if words is not EVERYWHERE}


@pytest.fixture
def values(manifests: dict[str, list[Thing]]) -> Mapping[str, Any]:
    """What each chart is given, by the chart's name."""
    found: dict[str, Any] = {}
    for thing in manifests["apps"]:
        for source in thing["spec"].get("sources", []):
            if "chart" in source:
                [path] = source["helm"]["valueFiles"]
                found[source["chart"]] = read(K8S.parent / path.removeprefix("$values/"))
    for folder in ("argocd", "sealed-secrets"):
        chart = named(manifests[f"infrastructure-{folder}"], "HelmChart", folder)["spec"]
        [found[chart["chart"]]] = documents(chart["valuesContent"])
    return found


def words_at(path: str, known: Mapping[str, Words]) -> Words:
    """What its chart knows in this place: nothing, where nobody has read what that is."""
    if path in known:
        return known[path]
    return next((words for end, words in EVERYWHERE.items() if f".{path}".endswith(f".{end}")), [])


def unknown(given: Any, known: Mapping[str, Words], *, at: str = "") -> Iterator[str]:
    """Words that stand where the chart knows others, by their paths."""
    if isinstance(given, list):
        for one in given:
            yield from unknown(one, known, at=at)
    elif isinstance(given, Mapping) and (words := words_at(at, known)) is not None:
        for word, inner in given.items():
            path = f"{at}.{word}".strip(".")
            if word in words:
                yield from unknown(inner, known, at=path)
            else:
                yield path


def test_every_chart_is_given_words_that_it_knows(values: Mapping[str, Any]) -> None:
    assert values.keys() == KNOWN.keys()
    for chart, given in values.items():
        assert not list(unknown(given, KNOWN[chart])), chart


@pytest.mark.parametrize(
    ("chart", "path"),
    [
        ("kube-prometheus-stack", "alertmanager"),
        ("kube-prometheus-stack", "grafana.sidecar"),
        ("kube-prometheus-stack", "grafana.service.nodePort"),
        ("loki", "loki.limits_config.retention_period"),
        ("alloy", "alloy.resources.limits"),
        ("argo-cd", "configs.params.server.insecure"),
    ],
)
def test_a_misspelt_word_is_noticed(values: Mapping[str, Any], chart: str, path: str) -> None:
    given = copy.deepcopy(values[chart])
    part, word = given, path
    while word not in part:
        step, _, word = word.partition(".")
        part = part[step]
    part[f"{word}s"] = part.pop(word)
    assert list(unknown(given, KNOWN[chart])) == [f"{path}s"]


def test_what_a_chart_takes_for_a_template_of_its_own_is_none(values: Mapping[str, Any]) -> None:
    assert "{{" not in values["alloy"]["alloy"]["configMap"]["content"]
    assert "{{" not in json.dumps(values["loki"])


def test_logs_are_kept_where_the_rest_looks_for_them(values: Mapping[str, Any]) -> None:
    [source] = values["kube-prometheus-stack"]["grafana"]["additionalDataSources"]
    assert f"{source['url']}/loki/api/v1/push" in values["alloy"]["alloy"]["configMap"]["content"]
    assert values["loki"]["loki"]["compactor"]["delete_request_store"] == values["loki"]["loki"]["storage"]["type"]


def test_grafana_finds_its_password_and_our_dashboard(
    manifests: dict[str, list[Thing]], values: Mapping[str, Any]
) -> None:
    grafana = values["kube-prometheus-stack"]["grafana"]
    sealed = named(manifests["overlays-prod-sealed-secrets"], "SealedSecret", grafana["admin"]["existingSecret"])
    assert sealed["metadata"]["namespace"] == "monitoring"
    assert set(sealed["spec"]["encryptedData"]) == {grafana["admin"]["userKey"], grafana["admin"]["passwordKey"]}
    looked_for = grafana["sidecar"]["dashboards"]
    dashboard = named(manifests["infrastructure-monitoring"], "ConfigMap", "army-dashboard")
    assert looked_for["enabled"] is True
    assert looked_for["label"] in dashboard["metadata"]["labels"]


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("PrometheusRule", "ruleSelectorNilUsesHelmValues"),
        ("ServiceMonitor", "serviceMonitorSelectorNilUsesHelmValues"),
    ],
)
def test_prometheus_takes_ours_though_they_have_no_label_of_its_chart(
    manifests: dict[str, list[Thing]], values: Mapping[str, Any], kind: str, word: str
) -> None:
    ours = [thing for thing in manifests["infrastructure-monitoring"] if thing["kind"] == kind]
    assert ours
    assert not [thing for thing in ours if "release" in thing["metadata"]["labels"]]
    assert values["kube-prometheus-stack"]["prometheus"]["prometheusSpec"][word] is False


def test_the_exporter_of_a_node_runs_on_every_node(values: Mapping[str, Any]) -> None:
    exporter = values["kube-prometheus-stack"]["prometheus-node-exporter"]
    assert exporter["tolerations"] == [{"operator": "Exists"}], "the master's taint has the effect NoExecute"
