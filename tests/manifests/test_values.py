"""The charts' values, as far as they can be judged without the charts: every word in them is one that its chart knows.

The charts themselves are not to be had on a machine without the internet, so nothing is rendered here. What each of
them knows was read in its own values, for the lines that we pin; a misspelt word would be taken without a sound.
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

KNOWN: Mapping[str, Mapping[str, list[str]]] = json.loads(
    (Path(__file__).parent / "schemas" / "values.json").read_text(encoding="utf-8")
)


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


def unknown(given: Any, known: Mapping[str, list[str]]) -> Iterator[str]:
    """Words that stand where the chart knows others."""
    for path, words in known.items():
        part = given
        for step in path.split(".") if path else []:
            part = part.get(step, {})
        yield from (f"{path}.{word}".strip(".") for word in part if word not in words)


def test_every_chart_is_given_words_that_it_knows(values: Mapping[str, Any]) -> None:
    assert values.keys() == KNOWN.keys()
    for chart, given in values.items():
        assert not list(unknown(given, KNOWN[chart])), chart


def test_a_misspelt_word_is_noticed(values: Mapping[str, Any]) -> None:
    given = copy.deepcopy(values["kube-prometheus-stack"])
    given["grafana"]["sidecars"] = given["grafana"].pop("sidecar")
    given["alertmanger"] = given.pop("alertmanager")
    assert set(unknown(given, KNOWN["kube-prometheus-stack"])) == {"alertmanger", "grafana.sidecars"}


def test_what_a_chart_takes_for_a_template_of_its_own_is_none(values: Mapping[str, Any]) -> None:
    assert "{{" not in values["alloy"]["alloy"]["configMap"]["content"]
    assert "{{" not in json.dumps(values["loki"])


def test_logs_are_kept_where_the_rest_looks_for_them(values: Mapping[str, Any]) -> None:
    [source] = values["kube-prometheus-stack"]["grafana"]["additionalDataSources"]
    assert f"{source['url']}/loki/api/v1/push" in values["alloy"]["alloy"]["configMap"]["content"]
    assert values["loki"]["loki"]["compactor"]["delete_request_store"] == values["loki"]["loki"]["storage"]["type"]
