"""The runtime without a cluster: agentd as a detached process; its stdin and stdout are named pipes."""

from adapters.local.credentials import LocalCredentials
from adapters.local.runtime import LocalRuntime

__all__ = ["LocalCredentials", "LocalRuntime"]
