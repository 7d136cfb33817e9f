"""The way into a cluster, as a pod's own account or a kubeconfig tells it, with a credential that is good just now.

It knows files and the programs that kubeconfigs name, and asks the cluster nothing. What makes no sense is a sentence.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import aiohttp
import yaml
from kubernetes_asyncio import client, config
from kubernetes_asyncio.config.exec_provider import ExecProvider
from kubernetes_asyncio.config.kube_config import KubeConfigLoader, KubeConfigMerger
from kubernetes_asyncio.stream import WsApiClient

from orchestrator.errors import Broken

LOAD_SECONDS = 15.0
HEARTBEAT_SECONDS = 10.0
"""A connection over which no pong comes for half as long again is dead, whatever the sockets believe."""

NONSENSE = (
    config.ConfigException, yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError,
    RuntimeError,
)  # fmt: skip
"""What the library raises for files that are no kubeconfig, or not a whole one: it looks at few things before it uses
them."""

LINES = ("host", "ssl_ca_cert", "cert_file", "key_file", "verify_ssl", "tls_server_name", "proxy")
"""What a connection is made with, beside the token that each request brings."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where the cluster is. Without a context, a pod's own account is taken where there is one, then the kubeconfig."""

    namespace: str = "claude-agents"
    context: str = ""
    kubeconfig: str = ""
    in_cluster: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], *, namespace: str, context: str, kubeconfig: str) -> Door:
        """The door that this environment leads to; without a kubeconfig, kubectl's own. It may be several, as there."""
        home = Path(environ.get("HOME", "~"))
        paths = kubeconfig.split(os.pathsep) if kubeconfig else [str(home / ".kube" / "config")]
        inside = bool(environ.get("KUBERNETES_SERVICE_HOST")) and not context
        return cls(namespace, context, os.pathsep.join(map(os.path.expanduser, paths)), in_cluster=inside)

    def __str__(self) -> str:
        """For people."""
        return (
            "this cluster, by the pod's own account"
            if self.in_cluster
            else (f"{self.kubeconfig}, context {self.context or 'current'}")
        )


@dataclass(frozen=True, slots=True)
class Way:
    """A door that was opened: one client for calls, and one for streams, with the same settings."""

    settings: Any
    calls: client.ApiClient
    streams: WsApiClient

    @classmethod
    def by(cls, settings: Any, *, door: Door) -> Self:
        """Clients with these settings. Raises `Broken` where their certificates cannot be read."""
        settings.connection_pool_maxsize = 0  # one connection for each run that is attached: no bound but theirs
        try:
            return cls(settings, client.ApiClient(settings), WsApiClient(settings, heartbeat=HEARTBEAT_SECONDS))
        except NONSENSE as why:
            raise _senseless(door, why) from None

    async def close(self) -> None:
        """Every connection goes."""
        await cast("Any", self.streams).close()
        await cast("Any", self.calls).close()

    def take(self, settings: Any) -> bool:
        """Go on with the token in these; False when the connections themselves are made with something else."""
        if any(getattr(self.settings, name) != getattr(settings, name) for name in LINES):
            return False
        self.settings.api_key = settings.api_key
        self.settings.refresh_api_key_hook = settings.refresh_api_key_hook
        return True

    def same(self, settings: Any) -> bool:
        """Whether there is nothing new in these."""
        return all(getattr(self.settings, name) == getattr(settings, name) for name in (*LINES, "api_key"))


async def load(door: Door) -> Any:
    """The settings by which a client gets in, as they are at this moment. Raises `Broken`."""
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            return await _load(door)
    except TimeoutError:
        raise Broken(
            f"The way into the cluster ({door}) was not found within {LOAD_SECONDS:.0f} seconds: what hands out the "
            "credential may wait for somebody to log in. Try `kubectl get pods` by hand."
        ) from None
    except (*NONSENSE, aiohttp.ClientError) as why:
        raise _senseless(door, why) from None


async def _load(door: Door) -> Any:
    settings: Any = cast("Any", client.Configuration)()
    if door.in_cluster:
        cast("Any", config.load_incluster_config)(client_configuration=settings)
        return settings
    if not await asyncio.to_thread(_some_file, door.kubeconfig):
        raise Broken(f"The way into the cluster is not known: there is no kubeconfig at {door.kubeconfig}.")
    files = await asyncio.to_thread(KubeConfigMerger, door.kubeconfig)
    loader = _Kubeconfig(files.config, active_context=door.context or None, config_base_path=None)
    await loader.load_and_set(settings)
    return settings


class _Kubeconfig(KubeConfigLoader):
    """The library's, but the program that hands out a credential cannot ask anybody, and does not outlive its time."""

    async def load_from_exec_plugin(self) -> bool:
        user = cast("Any", self._user)
        plugin = ExecProvider(user["exec"])
        given = await _credential(plugin.args, plugin.env, str(plugin.api_version))
        if token := given.get("token"):
            self.token = f"Bearer {token}"
        for key, name in (("clientCertificateData", "client-certificate-data"), ("clientKeyData", "client-key-data")):
            if text := given.get(key):
                user.value[name] = base64.b64encode(text.encode()).decode()
        if not (token or given.get("clientCertificateData")):
            raise config.ConfigException(f"{plugin.args[0]} gives neither a token nor a certificate")
        return True


async def _credential(command: Sequence[str], env: Mapping[str, str], version: str) -> Mapping[str, str]:
    """What this program says. It has no terminal: one that would wait for an answer fails, or runs out of time."""
    asked = {"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": False}}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**env, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as why:
        raise config.ConfigException(f"{command[0]} cannot be run: {why.strerror}") from None
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise config.ConfigException(
            f"{command[0]} ends with {process.returncode}: {complaint.decode(errors='replace')}"
        )
    try:
        answer = json.loads(said)
        spoken, status = answer["apiVersion"], dict(answer["status"])
    except (ValueError, LookupError, TypeError):
        raise config.ConfigException(f"{command[0]} says something that is no credential") from None
    if spoken != version:
        raise config.ConfigException(f"{command[0]} speaks {spoken}, and {version} was wanted")
    return status


def _senseless(door: Door, why: Exception) -> Broken:
    told = isinstance(why, config.ConfigException | yaml.YAMLError | OSError | ValueError | aiohttp.ClientError)
    words = " ".join(str(why).split())[:400] if told else "it is not a whole one"  # else the words are Python's
    words = words.rstrip(".")
    if door.in_cluster:
        return Broken(f"The pod's own account does not lead into the cluster: {words}.")
    return Broken(f"The kubeconfig {door.kubeconfig} leads nowhere: {words}.")


def _some_file(paths: str) -> bool:
    return any(Path(path).is_file() for path in paths.split(os.pathsep) if path)
