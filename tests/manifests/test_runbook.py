"""What docs/runbook.md names of ours is there, and what the product says when something is wrong stands in it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from adapters.kubernetes.guest import Guest
from adapters.kubernetes.pod import pod_of
from adapters.kubernetes.warm import WARM, warm_of
from bot.greeting import VERSION
from bot.settings import NAMES
from orchestrator.nouns import Agent, RunId
from tests.manifests.addresses import networks
from tests.manifests.rendered import K8S, ROOT, Thing, named, read

pytestmark = pytest.mark.xdist_group("manifests")

TEXT = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
COMMANDS = "\n".join([*BLOCKS, *re.findall(r"`([^`\n]+)`", TEXT)])
PLAIN = " ".join(re.sub(r"[*`|\\]", " ", TEXT).split())

FOREIGN = {
    "deployment": {
        "sealed-secrets-controller", "argocd-server", "prometheus-grafana", "hcloud-cloud-controller-manager",
        "hcloud-csi-controller",
    },
    "job": {"helm-install-sealed-secrets", "helm-install-argocd"},
    "namespace": {"kube-system", "system-upgrade", "argocd"},
    "secret": {"army-repository", "argocd-initial-admin-secret"},
}  # fmt: skip
"""What others bring, by names that their documents give."""

OTHERS = {
    "HCLOUD_TOKEN", "TAILSCALE_AUTH_KEY", "TAILNET", "KUBECONFIG", "HTTPS_PROXY", "REGISTRY", "REPOSITORY", "PLATFORMS",
    "INSTALL_K3S_VERSION", "NAME", "NAMESPACE", "NODE", "POD", "RUN", "YOU", "SERVER", "END", "PWD", "HOME", "HEAD",
    "AAE",
}  # fmt: skip
"""Words in capitals that are no settings of ours."""

NOT_WRONG = {
    "this cluster, by the pod's own account", "its image is being fetched",
    "the bot may do what it needs in the namespace", "the cluster would take an agent's pod",
    "agents run", "whether the nodes can fetch it shows at the first run", "Answer with the word ok", "Stored",
    "It is not in", "any more. Agents get it from their next start on", "The access token is good for",
    "Claude's access token is good for", "nothing to renew", "it said nothing for", "the CLI that renews",
}  # fmt: skip
"""What is said when all is well."""


# --- names ---


@pytest.fixture
def there(manifests: dict[str, list[Thing]]) -> Mapping[str, set[str]]:
    """The names of everything that we bring, by kind in small letters."""
    found: dict[str, set[str]] = {kind: set(names) for kind, names in FOREIGN.items()}
    for things in manifests.values():
        for thing in things:
            found.setdefault(thing["kind"].lower(), set()).add(thing["metadata"]["name"])
    found["application"].add(read(K8S / "apps" / "root.yaml")["metadata"]["name"])
    found["secret"] |= found["sealedsecret"]
    return found


def test_every_file_that_it_names_is_there() -> None:
    found = set(re.findall(r"(?<![\w/.])((?:k8s|docs|bot|agent|adapters|images|tests)/[\w./-]*[\w/])", TEXT))
    found |= {f"k8s/{name}" for name in re.findall(r"`((?:overlays|storage|utils|base|apps)/[\w./-]*)`", TEXT)}
    found |= {f"docs/{name}" for name in re.findall(r"\]\(([\w-]+\.md)", TEXT)}
    assert len(found) > 20
    # $1 is what `seal` is given: the Secrets' own names, which have a test of their own
    missing = {name for name in found if not (ROOT / name).exists()} - {"k8s/overlays/prod/sealed-secrets"}
    assert not missing


@pytest.mark.parametrize("commands", BLOCKS, ids=lambda commands: commands.partition("\n")[0][:40])
def test_every_block_can_be_typed_into_a_shell(commands: str) -> None:
    done = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_every_table_is_whole() -> None:
    """A row with a cell too many, or a blank line between two rows, shows as text."""
    for table in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        rows = [re.sub(r"`[^`]*`", "", row).count("|") for row in table.splitlines()]
        assert re.fullmatch(r"\|[-|]+\|", table.splitlines()[1]), table
        assert len(set(rows)) == 1, table


def test_every_heading_that_it_links_to_is_there() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= headings


def test_every_namespace_is_one(there: Mapping[str, set[str]]) -> None:
    found = set(re.findall(r"(?:-n|--namespace) ([a-z][a-z-]+)", COMMANDS))
    found |= {name for _, name in re.findall(r"^seal ([a-z-]+) ([a-z-]+)$", COMMANDS, re.MULTILINE)}
    found |= set(" ".join(re.findall(r"delete namespace ([a-z -]+)", COMMANDS)).split())
    assert len(found) >= len({"claude-agents", "controlplane", "argocd", "monitoring", "storage"})
    assert found <= there["namespace"]


@pytest.mark.parametrize("kind", ["deployment", "job", "pod", "application", "secret"])
def test_everything_that_a_command_is_about_is_there(there: Mapping[str, set[str]], kind: str) -> None:
    word = rf"\b{kind}[ /]((?!-)[a-z0-9][a-z0-9-]*)"
    found = {name for line in COMMANDS.splitlines() if "kubectl" in line for name in re.findall(word, line)}
    found |= set(re.findall(r"kubectl[^\n]* (?:logs|delete pod) (agent-test|[a-z]+-(?:login|data))\b", COMMANDS))
    if kind != "pod":
        found -= there["pod"]
    assert found
    assert found <= there[kind] | {"generic"}


def test_every_sealed_secret_is_made_in_it_where_it_belongs_and_with_its_keys(
    manifests: dict[str, list[Thing]],
) -> None:
    sealed = {
        (t["metadata"]["name"], t["metadata"]["namespace"]): set(t["spec"]["encryptedData"])
        for t in manifests["overlays-prod-sealed-secrets"]
    }
    assert set(re.findall(r"^seal ([a-z-]+) ([a-z-]+)$", TEXT, re.MULTILINE)) == set(sealed)
    for (name, _), keys in sealed.items():
        assert f"~/army/{name}.env" in TEXT
        assert all(key in TEXT for key in keys)


@pytest.fixture
def keys(manifests: dict[str, list[Thing]]) -> set[str]:
    """The keys of the Secret that agents sign in with, as its check asks for them."""
    check = named(manifests["utils"], "Job", "credential-check")["spec"]["template"]["spec"]["containers"][0]
    return {one["valueFrom"]["secretKeyRef"]["key"] for one in check["env"] if "valueFrom" in one}


def test_every_setting_that_it_names_is_one(keys: set[str]) -> None:
    capitals = set(re.findall(r"(?<![\w$/-])([A-Z][A-Z0-9_]{2,})(?![\w-])", COMMANDS))
    assert {"WEB_TOKEN", "MAX_RUNS", "RUNTIME_CLASS"} <= capitals
    assert capitals <= {*NAMES, *keys, *OTHERS}


def test_every_way_to_sign_in_is_in_it(keys: set[str]) -> None:
    assert len(keys) == len({"a key", "a token", "a gateway", "and its token"})
    assert all(f"`{key}`" in TEXT for key in keys)


def test_the_versions_are_those_of_this_tree() -> None:
    cluster = read(K8S / "cluster" / "cluster.yaml")
    assert f"INSTALL_K3S_VERSION={cluster['k3s_version']}" in TEXT
    assert set(re.findall(r"/(?:agent|bot):([\d.]+)", TEXT)) == {VERSION}
    for pool in (cluster["masters_pool"], *cluster["worker_node_pools"]):
        assert f"| {pool['instance_type']} (" in TEXT


def test_a_server_of_ones_own_has_the_networks_of_the_cluster() -> None:
    """The walls and the NFS server name them."""
    ours = networks()
    assert re.findall(r"--(cluster|service)-cidr (\S+)", TEXT) == [
        ("cluster", ours["pods"]),
        ("service", ours["services"]),
    ]
    assert set(re.findall(r"ufw allow from ([\d./]+)", TEXT)) == {ours["pods"], ours["services"]}


def test_every_runtime_class_and_label_is_one(there: Mapping[str, set[str]], manifests: dict[str, list[Thing]]) -> None:
    found = set(re.findall(r"`?RUNTIME_CLASS=([a-z-]+)", TEXT))
    assert {"gvisor", "none", "kata-fc"} <= found
    assert found <= there["runtimeclass"] | {"none"}
    labels = {
        key for t in manifests["base"] if t["kind"] == "RuntimeClass" for key in t["scheduling"]["nodeSelector"]
    } | set(read(K8S / "infrastructure" / "kata-deploy" / "values.yaml")["nodeSelector"])
    assert set(re.findall(r"\b(?:army/(?:gvisor|kvm)|katacontainers\.io/[a-z-]+)", TEXT)) == labels


def test_pods_are_found_by_labels_that_they_have() -> None:
    pod = warm_of("warm-1", Agent(name="a", driver="claude"), Guest(image="a"), idle=1)
    run = pod_of(RunId("r-1"), Agent(name="a", driver="claude"), Guest(image="a"))
    labels = {*pod["metadata"]["labels"], *run["metadata"]["labels"]}
    found = {key for text in re.findall(r"-n claude-agents \w+ pods -l ([\w./=,-]+)", TEXT) for key in text.split(",")}
    assert {"army/warm", "army/run"} <= found
    assert {key.partition("=")[0] for key in found} <= labels
    assert WARM not in run["metadata"]["labels"], "who deletes those that wait deletes no run"


def test_a_drain_is_told_what_it_needs() -> None:
    """Without these it refuses: agents have no controller, and folders that go with them."""
    drains = re.findall(r"kubectl drain .*", TEXT)
    assert drains
    assert all({"--force", "--delete-emptydir-data", "--ignore-daemonsets"} <= set(line.split()) for line in drains)


def test_the_costs_add_up() -> None:
    rows = re.findall(r"^\| [^|*]+ \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$", TEXT, re.MULTILINE)
    pools = read(K8S / "cluster" / "cluster.yaml")
    assert int(rows[1][1]) == sum(pool["instance_count"] for pool in pools["worker_node_pools"])
    total = sum(round(float(each) * int(number), 2) for each, number, _ in rows)
    assert [float(cost) for _, _, cost in rows] == [round(float(each) * int(number), 2) for each, number, _ in rows]
    assert f"| **together** | | | **{total:.2f}** |" in TEXT


# --- what the product says ---


def said(path: Path) -> Iterator[str]:
    """The sentences in a module that people may get to see, with … for what differs. Notes and the log are none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent: set[int] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant()):  # a docstring, or a note below a name
                silent.add(id(node.value))
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "re"))) | ast.Assert():
                silent |= {id(inner) for inner in ast.walk(node)}
            case ast.JoinedStr():
                silent |= {id(part) for part in node.values}
            case _:
                pass
    for node in ast.walk(tree):
        match node:
            case ast.JoinedStr() if id(node) not in silent:
                yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values)
            case ast.Constant(value=str(text)) if id(node) not in silent:
                yield text
            case _:
                pass


def pieces(sentence: str) -> list[str]:
    """Its parts that never differ, and are long enough to be known by. A doing (`to start …`) is part of another."""
    if len(re.findall(r"[A-Za-z']+", sentence.replace("…", ""))) < 4 or sentence.startswith("to "):
        return []
    parts = (" ".join(re.sub(r"[`✗]", " ", part).split()).strip(" .:;(),") for part in sentence.split("…"))
    return [part for part in parts if len(part.split()) > 1 and re.search(r"[a-z] [a-z]", part)]


MODULES = [*sorted((ROOT / "adapters" / "kubernetes").glob("*.py")), *sorted((K8S / "storage" / "login").glob("*.py"))]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_what_is_said_when_something_is_wrong_stands_in_it(module: Path) -> None:
    missing = {
        piece
        for sentence in said(module)
        for piece in pieces(sentence)
        if piece not in PLAIN and not any(piece.startswith(words) for words in NOT_WRONG)
    }
    assert not missing, f"docs/runbook.md does not know these words of {module.name}; people will look for them there"


def test_a_sentence_is_found_by_its_parts() -> None:
    assert pieces("The pod … does not go, not even by force.") == ["The pod", "does not go, not even by force"]
    assert pieces("to look at …") == pieces("app.kubernetes.io/name") == []
