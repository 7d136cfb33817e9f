"""The pod, written out: what is in the golden files is what a cluster gets. `GOLDEN=write` writes them anew."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapters.kubernetes.guest import Guest, class_of, isolation_of
from adapters.kubernetes.pod import CACHES, DISK_BYTES, DISK_FOLDERS, FOLDERS, bytes_of, pod_of
from agent.agentd.room import Room
from orchestrator.errors import Refused
from orchestrator.nouns import Agent, Limits, RunId
from orchestrator.ports import Gateway

GOLDEN = Path(__file__).with_name("pods")
GUEST = Guest(image="ghcr.io/rj-ai-army/agent:0.1.0")
GATEWAY = Gateway("https://gateway.example", lambda run, _: f"the token of {run}")
CLAUDE = Agent(name="claude", driver="claude")
SURROUNDINGS = ["HOME", *CACHES, DISK_BYTES, DISK_FOLDERS]
CASES = {
    "claude": (CLAUDE, GUEST),
    "rehearsal": (Agent(name="rehearsal", driver="rehearsal", script="welcome"), GUEST),
    "gvisor-by-profile": (
        replace(CLAUDE, name="Code review (fast)", isolation="gvisor", cpu="500m", memory="2Gi"),
        GUEST,
    ),
    "no-class": (CLAUDE, replace(GUEST, runtime_class="none")),
    "short-life": (
        replace(CLAUDE, limits=Limits(life=3600, start=60), cpu="2.5"),
        replace(GUEST, runtime_class="kata-clh"),
    ),
    "key": (replace(CLAUDE, credential="key"), GUEST),
    "token-by-setting": (CLAUDE, replace(GUEST, credential="token")),
    "gateway": (replace(CLAUDE, credential="gateway"), replace(GUEST, gateway=GATEWAY)),
    "login": (replace(CLAUDE, credential="login"), GUEST),
}


@pytest.mark.parametrize("case", CASES)
def test_the_pod_is_the_one_that_was_agreed_on(case: str) -> None:
    agent, guest = CASES[case]
    text = yaml.safe_dump(pod_of(RunId("r-20261126-7f3a"), agent, guest), sort_keys=False, width=120)
    path = GOLDEN / f"{case}.yaml"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_there_is_no_golden_file_too_many() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)


@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_every_version_accepts_it_strictly(version: str) -> None:
    for agent, guest in CASES.values():
        kubernetes_validate.validate(pod_of(RunId("r-1"), agent, guest), version, strict=True)


@given(
    name=st.text(min_size=1, max_size=90),
    run=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True),
    milli=st.integers(10, 256_000),
    life=st.floats(1, 1e7),
)
def test_whatever_people_call_an_agent_it_is_a_pod(name: str, run: str, milli: int, life: float) -> None:
    agent = Agent(name=name, driver="claude", cpu=f"{milli}m", limits=Limits(life=life))
    pod = pod_of(RunId(run), agent, GUEST)
    label = pod["metadata"]["labels"]["army/agent"]
    assert len(label) <= 63
    assert not label or (label[0] + label[-1]).isalnum()
    assert pod["metadata"]["annotations"]["army/agent"] == name
    asked, most = (pod["spec"]["containers"][0]["resources"][what]["cpu"] for what in ("requests", "limits"))
    assert int(asked[:-1]) <= int(most[:-1]) == milli
    assert pod["spec"]["activeDeadlineSeconds"] > life


def test_nothing_of_what_is_said_to_the_agent_is_in_the_pod() -> None:
    agent = Agent(
        name="a", driver="claude", opening="opening words", instructions="secret plan", repositories=("https://x@y/z",)
    )
    text = yaml.safe_dump(pod_of(RunId("r-1"), agent, GUEST))
    assert not any(word in text for word in ("opening words", "secret plan", "https://"))


def test_an_agent_without_a_model_gets_no_credential() -> None:
    agent, guest = CASES["rehearsal"]
    env = pod_of(RunId("r-1"), agent, guest)["spec"]["containers"][0]["env"]
    assert [variable["name"] for variable in env] == SURROUNDINGS


def test_no_folder_has_an_end_of_its_own_and_agentd_knows_that_of_all_together() -> None:
    pod = pod_of(RunId("r-1"), CLAUDE, replace(GUEST, disk="3G"))
    assert [volume["emptyDir"] for volume in pod["spec"]["volumes"]] == [{}] * len(FOLDERS)
    [container] = pod["spec"]["containers"]
    env = {variable["name"]: variable.get("value", "") for variable in container["env"]}
    room = Room.told(env)
    assert room is not None
    assert (noticed := room.notice(3_000_000_000)) is not None
    assert "2.8 GiB of the 2.8 GiB" in noticed.text
    assert container["resources"]["limits"]["ephemeral-storage"] == "3G"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert set(env[DISK_FOLDERS].split(":")) == mounted
    assert {env[name].split("/")[1] for name in CACHES} == {"cache"}
    assert "/cache" in mounted


@pytest.mark.parametrize(
    ("amount", "size"),
    [("16Gi", 16 << 30), ("512Mi", 512 << 20), ("3k", 3000), ("2T", 2 * 10**12), ("1Ki", 1024), ("70", 70)],
)
def test_amounts_are_read_as_clusters_write_them(amount: str, size: int) -> None:
    assert bytes_of(amount) == size


def test_a_node_that_is_away_for_a_while_ends_no_run() -> None:
    tolerated = {one["key"]: one for one in pod_of(RunId("r-1"), CLAUDE, GUEST)["spec"]["tolerations"]}
    assert set(tolerated) == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
    assert {(one["effect"], one["tolerationSeconds"]) for one in tolerated.values()} == {("NoExecute", 1800)}


def test_a_small_disk_is_not_less_than_what_is_had_for_sure() -> None:
    [container] = pod_of(RunId("r-1"), CLAUDE, replace(GUEST, disk="256Mi"))["spec"]["containers"]
    assert {which["ephemeral-storage"] for which in container["resources"].values()} == {"256Mi"}
    with pytest.raises(Refused, match="AGENT_DISK"):
        pod_of(RunId("r-1"), CLAUDE, replace(GUEST, disk="much"))


def test_who_chose_one_kind_gets_no_other() -> None:
    names = {
        case: [
            v["name"]
            for v in pod_of(RunId("r-1"), *CASES[case])["spec"]["containers"][0]["env"]
            if v["name"] not in SURROUNDINGS
        ]
        for case in ("key", "token-by-setting", "gateway", "login")
    }
    assert names == {
        "key": ["ANTHROPIC_API_KEY"],
        "token-by-setting": ["CLAUDE_CODE_OAUTH_TOKEN"],
        "gateway": ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"],
        "login": ["AGENT_SECRETS"],
    }


def test_no_pod_mounts_the_claim_and_no_pod_holds_a_token() -> None:
    for agent, guest in CASES.values():
        text = yaml.safe_dump(pod_of(RunId("r-1"), agent, guest))
        assert "persistentVolumeClaim" not in text
        assert "the token of" not in text


@pytest.mark.parametrize("run", ["", "R-1", "-r", "r-", "r_1", "r" * 41, "r/../x"])
def test_what_cannot_be_a_run_is_refused(run: str) -> None:
    with pytest.raises(Refused, match="cannot be the name of a run"):
        pod_of(RunId(run), CLAUDE, GUEST)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"cpu": "many"}, "cpu"),
        ({"cpu": "0"}, "cpu"),
        ({"cpu": "9999"}, "cpu"),
        ({"memory": "1 GB"}, "memory"),
        ({"memory": "0"}, "memory"),
        ({"isolation": "Kata!"}, "runtime class"),
        ({"credential": "password"}, "known are key, token, gateway, login"),
        ({"credential": "gateway"}, "GATEWAY_KEY"),
    ],
)
def test_a_profile_that_makes_no_sense_is_refused_in_words(wrong: dict[str, str], word: str) -> None:
    with pytest.raises(Refused, match=word):
        pod_of(RunId("r-1"), replace(CLAUDE, **wrong), GUEST)  # type: ignore[arg-type]


def test_the_isolation_is_what_the_class_gives() -> None:
    said = {name: isolation_of(class_of(replace(CLAUDE, isolation=name), GUEST)) for name in
            ("", "kata-fc", "kata-clh", "kata-qemu", "gvisor", "none", "custom")}  # fmt: skip
    assert said[""] == said["kata-fc"]
    assert len(set(said.values())) == 6
    assert "kernel is shared" in said["none"]
    assert "custom" in said["custom"]
