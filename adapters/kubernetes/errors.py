"""The API server's refusals and the network's failures as the four kinds of trouble: decided here alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from kubernetes_asyncio.client.exceptions import ApiException
from kubernetes_asyncio.config import ConfigException

from orchestrator.errors import Broken, Busy, Gone, Refused, Trouble

QUOTA_SECONDS = 5.0
BUSY_SECONDS = 1.0
DENIED_SECONDS = 2.0
NAMESPACE_SECONDS = 5.0
QUOTA = re.compile(r"exceeded quota: .*", re.DOTALL)
UNCOUNTED = re.compile(r"status unknown for quota: .*", re.DOTALL)
NO_CLASS = re.compile(r'RuntimeClass "?(?P<name>[^" ]+)"? not found')
NOT_NOW = re.compile(
    r"cannot [a-z*]+ resource|not yet ready to handle request|error looking up service account|being terminated"
)
"""What a server that has just come back says of rights that it has not read yet, too; and of a namespace that comes."""

NO_NAMESPACE = re.compile(r'namespaces "(?P<name>[^"]+)" not found')
NO_PRIORITY = re.compile(r"no PriorityClass with name (?P<name>\S+) was found")


class Expired(Exception):
    """A resource version that the server has forgotten: list again."""


class Changed(Busy):
    """It is another one by now, or another version of it, than the one that was meant."""


class Denied(Busy):
    """Who asks may not, as far as the server knows: it may just not have read its rules yet."""


class Full(Busy):
    """The quota of the agents is used up."""


class Late(Broken):
    """No answer came in time."""


def trouble(code: int, body: bytes | str, *, doing: str, retry_after: str = "") -> Trouble:
    """What a refusal of the API server means. `doing` is what we were at, as in "to start r-1".

    What stands in between, a proxy, a tunnel or an ingress, has refusals of its own, which say nothing of the cluster.
    """
    status = _status(body)
    message = _message(status, body)
    said = f": {message}" if message else ""
    match code:
        case 401:
            return Broken(f"The cluster does not accept the bot's credential, which was needed {doing}.")
        case 429:
            return Busy("The cluster's API asks for patience.", seconds=_seconds(retry_after), everywhere=True)
        case code if code < 500 and message and not status:
            return not_kubernetes(doing, code)
        case 403 if found := UNCOUNTED.search(message):
            words = f"The cluster has not counted yet what its quota is used for: {_short(found[0])}"
            return Busy(words, seconds=QUOTA_SECONDS)
        case 403 if QUOTA.search(message):
            return Full(f"The cluster's quota is used up: {_short(message)}", seconds=QUOTA_SECONDS)
        case 403 if not message or NOT_NOW.search(message):
            return Denied(f"The bot may not do what is needed {doing}{said}", seconds=DENIED_SECONDS)
        case 403:
            return Refused(_forbidden(message, doing))
        case 404 if found := NO_NAMESPACE.search(message):
            return Busy(
                f"The cluster has no namespace {found['name']}; k8s/base brings it, and KUBE_NAMESPACE names it.",
                seconds=NAMESPACE_SECONDS,
            )
        case 404 if status.get("reason") == "NotFound" and _detail(status, "name"):
            return Gone(f"The cluster does not know what is needed {doing}{said}")
        case 404 | 410:  # an address that is not there, or a moment that is not: of the thing itself nothing is said
            return not_kubernetes(doing, code)
        case 409:
            return Changed(f"The cluster has something in the way {doing}{said}", seconds=BUSY_SECONDS)
        case code if code >= 500:
            return Broken(f"The cluster's API failed {doing} ({code}){said}", unsure=True)
        case _:
            return Refused(f"The cluster refuses {doing} ({code}){said}")


def not_kubernetes(doing: str, code: int = 200) -> Broken:
    """Somebody in between has answered: what was done is not known."""
    return Broken(f"What answers as the cluster's API is not it ({doing}; it says {code}).", unsure=True)


def forgotten(body: bytes) -> bool:
    """Whether the server itself says that a version is too old."""
    return _status(body).get("reason") in {"Expired", "Gone"}


def handshake(status: int, name: str) -> Trouble:
    """A stream that was not opened comes without the server's words: the number is all there is.

    A 404 may be the cluster's, the kubelet's or somebody's in between: whoever takes it for the end asks once more.
    """
    match status:
        case 404:
            return Gone(f"There is no pod {name}.")
        case 401:
            return Broken(f"The cluster does not accept the bot's credential, which was needed to attach to {name}.")
        case 403:
            return Broken(
                "The bot may not attach to pods: its Role needs get and create on pods/attach. A server that has just "
                "come back says so for a moment, too."
            )
        case 400:
            return Busy("The container does not run at this moment.", seconds=0.5)
        case 429:
            return Busy("The cluster's API asks for patience.", seconds=1.0, everywhere=True)
        case 503:
            return Broken(f"The cluster's API failed to attach to {name} (503).")
        case status if status < 500:
            return not_kubernetes(f"to attach to {name}", status)
        case _:
            words = f"The node of {name} does not answer ({status}): its kubelet is down, or the container ends."
            return Busy(words, seconds=0.2)


@contextmanager
def as_trouble(doing: str) -> Iterator[None]:
    """What the client raises is the trouble that the ports promise."""
    try:
        yield
    except ApiException as error:
        raise trouble(error.status or 500, error.body or error.reason or "", doing=doing) from None
    except TimeoutError:
        raise Late(f"The cluster's API did not answer in time {doing}.", unsure=True) from None
    except (aiohttp.ClientError, ConfigException, OSError) as error:
        raise Broken(f"The cluster's API cannot be reached {doing}: {_why(error)}", unsure=True) from None


def _why(error: Exception) -> str:
    """What the network said, for people."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate of {error.host}:{error.port} is not trusted: {error.certificate_error}."
        case aiohttp.ClientConnectorError(os_error=OSError(errno=int(number), strerror=said)):
            return f"{error.host}:{error.port}: {os.strerror(number) if number > 0 else said}."
        case aiohttp.ClientPayloadError():
            return "the connection broke off."
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP."
        case OSError(errno=int(number)) if number > 0:
            return f"{os.strerror(number)}."
        case _:
            return str(error) or type(error).__name__


def _status(body: bytes | str) -> Mapping[str, Any]:
    """The Status that the server refuses with; empty when this is none."""
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) and status.get("kind") == "Status" else {}


def _message(status: Mapping[str, Any], body: bytes | str) -> str:
    """The sentence in a Status, or the text itself."""
    if status:
        return _short(str(status.get("message") or ""))
    return _short(body.decode("utf-8", "replace") if isinstance(body, bytes) else body)


def _detail(status: Mapping[str, Any], name: str) -> str:
    details = status.get("details")
    return str(details.get(name) or "") if isinstance(details, dict) else ""


def _forbidden(message: str, doing: str) -> str:
    if found := NO_CLASS.search(message):
        return (
            f"This cluster has no runtime class {found['name']}. Install it, or set RUNTIME_CLASS (or the profile's "
            "isolation) to one that it has: kata-clh, kata-qemu, gvisor, or none."
        )
    if found := NO_PRIORITY.search(message):
        return f"This cluster has no priority class {found['name']}; k8s/base brings it."
    if "violates PodSecurity" in message:
        return f"The namespace's pod security refuses the agent's pod: {message}"
    return f"The cluster does not allow what is needed {doing}: {message}"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 400 else text[:399] + "…"


def _seconds(text: str) -> float:
    return float(text) if text.strip().isdigit() else BUSY_SECONDS
