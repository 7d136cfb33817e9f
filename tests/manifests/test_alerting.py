"""The alerts fire when they should, and reach the bot: asked of promtool and amtool themselves."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests.rendered import K8S, ROOT, Thing, named, read, tool

pytestmark = pytest.mark.xdist_group("manifests")

MONITORING = K8S / "infrastructure" / "monitoring"
TESTS = sorted((Path(__file__).parent / "rules").glob("*.test.yaml"))
OURS = re.compile(r"\barmy_[a-z_]+")


def asked(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rules(manifests: dict[str, list[Thing]], folder: Path) -> Path:
    groups = [
        g for t in manifests["infrastructure-monitoring"] if t["kind"] == "PrometheusRule" for g in t["spec"]["groups"]
    ]
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": groups}), "utf-8")
    return path


@pytest.fixture
def alertmanager(folder: Path) -> Path:
    path = folder / "alertmanager.yaml"
    values = read(MONITORING / "prometheus.values.yaml")
    path.write_text(yaml.safe_dump(values["alertmanager"]["config"]), "utf-8")
    return path


def names(rules: Path) -> list[str]:
    return [rule["alert"] for group in read(rules)["groups"] for rule in group["rules"]]


def test_prometheus_takes_the_rules(rules: Path) -> None:
    assert "SUCCESS" in asked(tool("promtool"), "check", "rules", rules, cwd=rules.parent)
    assert len(set(names(rules))) == len(names(rules))


@pytest.mark.parametrize("test", TESTS, ids=lambda path: path.name.partition(".")[0])
def test_the_rules_fire_when_they_should_and_not_otherwise(rules: Path, test: Path) -> None:
    copy = rules.parent / test.name
    copy.write_text(test.read_text("utf-8"), "utf-8")
    assert "SUCCESS" in asked(tool("promtool"), "test", "rules", copy, cwd=rules.parent)


def test_every_alert_is_seen_firing_and_seen_silent(rules: Path) -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in TESTS:
        for case in read(path)["tests"]:
            for question in case["alert_rule_test"]:
                (fires if question.get("exp_alerts") else silent).add(question["alertname"])
    assert fires == silent == set(names(rules))


def test_every_metric_of_ours_in_a_rule_or_a_panel_is_one_that_the_bot_tells(rules: Path) -> None:
    told = set(
        OURS.findall("".join(p.read_text("utf-8") for d in ("bot", "adapters") for p in (ROOT / d).rglob("*.py")))
    )
    asked_for = OURS.findall(rules.read_text("utf-8")) + OURS.findall(
        (MONITORING / "dashboard.json").read_text("utf-8")
    )
    assert set(asked_for) <= told


def test_the_bot_is_scraped_under_the_name_that_the_rules_use(manifests: dict[str, list[Thing]]) -> None:
    monitor = named(manifests["infrastructure-monitoring"], "ServiceMonitor", "army-bot")
    service = named(manifests["controlplane"], "Service", "army-bot")
    assert monitor["metadata"]["namespace"] == service["metadata"]["namespace"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "army-bot"
    [endpoint] = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    secret = named(
        manifests["overlays-prod-sealed-secrets"], "SealedSecret", endpoint["authorization"]["credentials"]["name"]
    )
    assert endpoint["authorization"]["credentials"]["key"] in secret["spec"]["encryptedData"]


def test_the_dashboard_is_one(manifests: dict[str, list[Thing]]) -> None:
    thing = named(manifests["infrastructure-monitoring"], "ConfigMap", "army-dashboard")
    assert thing["metadata"]["labels"]["grafana_dashboard"] == "1"
    panels = json.loads(thing["data"]["army.json"])["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_alertmanager_takes_its_configuration(alertmanager: Path) -> None:
    assert "SUCCESS" in asked(tool("amtool"), "check-config", alertmanager, cwd=alertmanager.parent)


@pytest.mark.parametrize(
    ("alert", "receiver"),
    [
        (["alertname=BotDown", "severity=critical"], "bot"),
        (["alertname=VolumeShort", "severity=warning"], "bot"),
        (["alertname=Watchdog", "severity=none"], "nobody"),
    ],
)
def test_an_alert_goes_to(alertmanager: Path, alert: list[str], receiver: str) -> None:
    told = asked(
        tool("amtool"), "config", "routes", "test", f"--config.file={alertmanager}", *alert, cwd=alertmanager.parent
    )
    assert told.strip() == receiver


def test_the_webhook_is_the_bots_and_shows_the_token_from_a_file(
    manifests: dict[str, list[Thing]], alertmanager: Path
) -> None:
    [receiver] = [r for r in read(alertmanager)["receivers"] if r["name"] == "bot"]
    [hook] = receiver["webhook_configs"]
    service = named(manifests["controlplane"], "Service", "army-bot")
    [port] = service["spec"]["ports"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert hook["url"] == f"http://{host}:{port['port']}/webhooks/alertmanager"
    values = read(MONITORING / "prometheus.values.yaml")["alertmanager"]["alertmanagerSpec"]
    [secret] = values["secrets"]
    sealed = named(manifests["overlays-prod-sealed-secrets"], "SealedSecret", secret)
    assert sealed["metadata"]["namespace"] == "monitoring"
    [key] = sealed["spec"]["encryptedData"]
    assert hook["http_config"]["authorization"] == {
        "type": "Bearer",
        "credentials_file": f"/etc/alertmanager/secrets/{secret}/{key}",
    }
