"""The shared login: who sees what of it, who renews it, and that nothing is lost when that goes wrong."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.manifests.rendered import K8S, ROOT, Thing, documents, named, read

pytestmark = pytest.mark.xdist_group("manifests")

SCRIPT = K8S / "storage" / "login" / "login.py"
HOUR = 3600
RENEWS = """
import json, os, sys, pathlib
path = pathlib.Path(os.environ["CLAUDE_CONFIG_DIR"], ".credentials.json")
oauth = json.loads(path.read_text())["claudeAiOauth"]
assert oauth["expiresAt"] == 1 and "ANTHROPIC_API_KEY" not in os.environ
oauth.update(accessToken="new", refreshToken="new-secret", expiresAt=EXPIRES)
path.write_text(json.dumps({"claudeAiOauth": oauth}))
print("ok")
"""
REFUSES = "import sys; sys.exit('invalid_grant')"


def login(hours: float, *, token: str = "old") -> dict[str, Any]:
    return {
        "claudeAiOauth": {
            "accessToken": token,
            "refreshToken": "the-secret",
            "refreshTokenExpiresAt": 9,
            "expiresAt": int((time.time() + hours * HOUR) * 1000),
            "scopes": ["user:inference"],
            "subscriptionType": "max",
        }
    }


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


class House:
    """A claim, a home and a CLI."""

    def __init__(self, folder: Path) -> None:
        self.shared, self.home = folder / "shared", folder / "home"
        self.claude = folder / "claude"
        self.shared.mkdir()
        self.home.mkdir()

    def cli(self, body: str) -> None:
        expires = str(int((time.time() + 8 * HOUR) * 1000))
        self.claude.write_text(f"#!{sys.executable}\n{body.replace('EXPIRES', expires)}", encoding="utf-8")
        self.claude.chmod(0o755)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        paths = ["--shared", str(self.shared), "--home", str(self.home), "--claude", str(self.claude)]
        return subprocess.run(
            [sys.executable, "-I", str(SCRIPT), command, *paths],
            capture_output=True, text=True, timeout=30, check=False, env={**os.environ, "ANTHROPIC_API_KEY": "no"},
        )  # fmt: skip

    def oauth(self, folder: str = ".") -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.shared / folder / ".claude" / ".credentials.json").read_text("utf-8"))
        return dict(value["claudeAiOauth"])

    def all_that_agents_see(self) -> str:
        return "".join(p.read_text("utf-8") for p in sorted((self.shared / "access").rglob("*")) if p.is_file())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_a_login_moves_to_the_claim_and_agents_see_no_refresh_token(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(8))
    opencode = {
        "a": {"type": "oauth", "refresh": "the-secret", "access": "at", "expires": 1},
        "b": {"type": "api", "key": "k"},
    }
    put(house.home / ".local/share/opencode/auth.json", opencode)
    put(house.home / ".local/share/opencode/mcp-auth.json", {"x": {"tokens": {"refreshToken": "the-secret"}}})
    put(house.home / ".local/share/opencode/opencode.db", "not a login")
    done = house.run("store")
    assert done.returncode == 0, done.stderr
    assert house.oauth()["refreshToken"] == "the-secret"
    assert house.oauth("access") == {k: v for k, v in house.oauth().items() if not k.startswith("refresh")}
    seen = house.all_that_agents_see()
    assert "the-secret" not in seen
    assert '"key": "k"' in seen
    assert '"refresh": ""' in seen
    assert not (house.shared / ".local/share/opencode/opencode.db").exists()
    assert not (house.home / ".claude/.credentials.json").exists(), (
        "two homes with one refresh token log each other out"
    )
    modes = {stat.S_IMODE(p.stat().st_mode) for p in house.shared.rglob("*") if p.is_file()}
    assert modes == {0o600}


def test_nothing_is_stored_when_nobody_is_logged_in(house: House) -> None:
    done = house.run("store")
    assert done.returncode == 1
    assert "Nobody is logged in" in done.stderr
    assert house.run("check").returncode == 1
    assert house.run("renew").returncode == 0, "a claim without a login is no failure every hour"


def test_what_is_good_for_long_is_left_alone(house: House) -> None:
    put(house.shared / ".claude/.credentials.json", login(7))
    house.cli(REFUSES)
    done = house.run("renew")
    assert (done.returncode, house.oauth()["accessToken"]) == (0, "old")
    assert house.oauth("access")["accessToken"] == "old"


def test_what_runs_low_is_renewed_and_agents_get_the_new_one(house: House) -> None:
    put(house.shared / ".claude/.credentials.json", login(2))
    house.cli(RENEWS)
    done = house.run("renew")
    assert done.returncode == 0, done.stderr
    assert house.oauth()["refreshToken"] == "new-secret"
    assert house.oauth("access")["accessToken"] == "new"
    assert "new-secret" not in house.all_that_agents_see()
    assert "7 h" in done.stdout


def test_a_failed_renewal_says_so_and_agents_keep_what_they_have(house: House) -> None:
    before = login(2)
    put(house.home / ".claude/.credentials.json", before)
    house.run("store")
    house.cli(REFUSES)
    done = house.run("renew")
    assert done.returncode == 1
    assert "invalid_grant" in done.stderr
    assert house.oauth()["expiresAt"] == house.oauth("access")["expiresAt"] == before["claudeAiOauth"]["expiresAt"]
    assert house.oauth("access")["accessToken"] == "old"
    assert house.run("check").returncode == 0, "it is good for two more hours"


def test_a_login_that_ran_out_is_found(house: House) -> None:
    put(house.home / ".claude/.credentials.json", login(-1))
    house.run("store")
    done = house.run("check")
    assert done.returncode == 1
    assert "run out" in done.stderr


def test_two_renewals_at_once_spend_one_token(house: House) -> None:
    put(house.shared / ".claude/.credentials.json", login(1))
    house.cli("open(__file__ + '.calls', 'a').write('x')\n" + RENEWS)
    both = [threading.Thread(target=house.run, args=["renew"]) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert (house.claude.parent / "claude.calls").read_text("utf-8") == "x"


def test_what_cannot_be_read_is_told_in_a_sentence(house: House) -> None:
    (house.shared / ".claude").mkdir()
    (house.shared / ".claude/.credentials.json").write_text("{torn", encoding="utf-8")
    done = house.run("renew")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Log in again" in done.stderr


# --- the manifests around it ---


def mounts(spec: Thing) -> list[Thing]:
    return [m for c in spec["containers"] for m in c["volumeMounts"] if m["name"] == "credentials"]


def test_two_kinds_of_pods_write_the_login_and_they_use_one_script(manifests: dict[str, list[Thing]]) -> None:
    refresh = named(manifests["storage"], "CronJob", "login-refresh")["spec"]
    assert refresh["concurrencyPolicy"] == "Forbid"
    renew = refresh["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert renew == ["python3", "-I", "/opt/login/login.py", "renew"]
    script = named(manifests["storage"], "ConfigMap", "login")
    assert script["data"]["login.py"] == SCRIPT.read_text("utf-8")
    pod = named(manifests["utils"], "Pod", "cli-login")["spec"]
    assert not mounts(pod)[0].get("readOnly")
    check = named(manifests["utils"], "Job", "login-check")["spec"]["template"]["spec"]
    for spec in (pod, check, refresh["jobTemplate"]["spec"]["template"]["spec"]):
        assert {v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v} == {"login"}


def test_the_volume_leads_to_the_server(manifests: dict[str, list[Thing]]) -> None:
    things = manifests["storage"]
    volume = named(things, "PersistentVolume", "claude-credentials")["spec"]
    service = named(things, "Service", "nfs-server")["spec"]
    claim = named(things, "PersistentVolumeClaim", "claude-credentials")
    assert volume["nfs"]["server"] == service["clusterIP"] == "10.43.101.214"
    assert (claim["spec"]["volumeName"], volume["claimRef"]["name"]) == ("claude-credentials", "claude-credentials")
    assert claim["metadata"]["namespace"] == volume["claimRef"]["namespace"] == "claude-agents"
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"
    [server] = named(things, "Deployment", "nfs-server")["spec"]["template"]["spec"]["containers"]
    assert server["securityContext"]["privileged"] is False
    assert "fsid=0" in server["env"][0]["value"]
    assert volume["nfs"]["path"] == "/", "fsid=0 makes the exported folder the root"


def test_every_image_of_ours_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version
    for path in [*(K8S / "utils").glob("*.yaml"), K8S / "storage" / "kustomization.yaml"]:
        text = path.read_text("utf-8")
        tags = re.findall(r"ghcr.io/rj-ai-army/\w+:(\S+)", text) + re.findall(r"newTag: (\S+)", text)
        assert set(tags) <= {version[1]}, path


# --- the machines ---


def test_the_cluster_is_closed_and_holds_no_secret() -> None:
    text = (K8S / "cluster" / "cluster.yaml").read_text("utf-8")
    [cluster] = documents(text)
    network = cluster["networking"]
    assert network["tailscale"]["enabled"] is True
    assert network["node_port_firewall_enabled"] is False
    assert {n for where in network["allowed_networks"].values() for n in where} == {
        network["private_network"]["subnet"]
    }
    assert cluster["create_load_balancer_for_the_kubernetes_api"] is False
    assert not re.search(r"tskey-|hetzner_token:|auth_key:", text)
    assert cluster["masters_pool"]["instance_count"] == 1
    [pool] = cluster["worker_node_pools"]
    assert pool["instance_count"] == 2


def test_the_workers_offer_what_the_class_gvisor_asks_for(manifests: dict[str, list[Thing]]) -> None:
    pool = read(K8S / "cluster" / "cluster.yaml")["worker_node_pools"][0]
    labels = {label["key"]: label["value"] for label in pool["labels"]}
    wanted = named(manifests["base"], "RuntimeClass", "gvisor")
    assert wanted["scheduling"]["nodeSelector"].items() <= labels.items()
    printf = next(c for c in pool["additional_pre_k3s_commands"] if "config-v3.toml.tmpl" in c)
    shown = subprocess.run(
        ["sh", "-c", printf.partition(" > ")[0]], capture_output=True, text=True, timeout=5, check=True
    ).stdout
    assert shown.startswith('{{ template "base" . }}\n')
    assert f"runtimes.{wanted['handler']}]" in shown
    for command in pool["additional_pre_k3s_commands"]:
        subprocess.run(["bash", "-n", "-c", command], timeout=5, check=True)
