"""What the manifests let the bot do: the Role of k8s/base, as the server of the tests understands it."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.kubeapi.refusal import Json

RBAC = Path(__file__).parents[2] / "k8s" / "base" / "rbac.yaml"


def shipped_role() -> list[Json]:
    """The rules of the one Role that the bot's account is bound to."""
    things = list(yaml.safe_load_all(RBAC.read_text(encoding="utf-8")))
    (role,) = (thing for thing in things if thing["kind"] == "Role" and thing["metadata"]["name"] == "army-bot")
    (binding,) = (
        thing for thing in things if thing["kind"] == "RoleBinding" and thing["roleRef"]["name"] == "army-bot"
    )
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"]
    assert [subject["name"] for subject in binding["subjects"]] == ["army-bot"]
    rules: list[Json] = role["rules"]
    return rules
