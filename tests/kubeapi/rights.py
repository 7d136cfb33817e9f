"""Who may do what: Role rules, asked per verb, resource and subresource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.kubeapi import refusal
from tests.kubeapi.refusal import Json, Refusal

EVERYTHING: tuple[Json, ...] = ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},)


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do. The resource is `pods` or `pods/attach`."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""

    def allowed(self, rules: Sequence[Json]) -> bool:
        """Whether one of these rules allows it."""
        return any(self._meets(rule) for rule in rules)

    def _meets(self, rule: Json) -> bool:
        names = rule.get("resourceNames")
        _, _, sub = self.resource.partition("/")
        return (
            bool({self.verb, "*"} & set(rule.get("verbs", ())))
            and bool({self.group, "*"} & set(rule.get("apiGroups", ())))
            and bool({self.resource, "*", *([f"*/{sub}"] if sub else [])} & set(rule.get("resources", ())))
            and (not names or self.name in names)
        )

    def refused(self, user: str) -> Refusal:
        """The answer to who may not."""
        where = f' in the namespace "{self.namespace}"' if self.namespace else " at the cluster scope"
        plural = self.resource.partition("/")[0]
        named = f"{plural}.{self.group}" if self.group else plural
        what = f'resource "{self.resource}" in API group "{self.group}"'
        return refusal.forbidden(named, self.name, f'User "{user}" cannot {self.verb} {what}{where}')
