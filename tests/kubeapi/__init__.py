"""A Kubernetes API server that does not flatter, with a node behind it whose containers are local processes.

    async with KubeApi() as api:
        kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
        ... run a client; then look: api.calls, api.pod("r-1"), api.events("r-1"), api.life("r-1").container.pid
        ... or make trouble: api.fail("create pods", Fault.busy()), api.break_next(Break(out=17)), await api.down()

Every container runs the agent's image, which is agentd of this checkout, unless `api.node.images` says otherwise; how
its paths come to be folders of this machine is told in `places.py`. Figures, refusals and the order of things follow
Kubernetes 1.36; `version="1.33"` asks for fewer rights at attach. All is in real time.
"""

from tests.kubeapi.ask import Call
from tests.kubeapi.command import Image
from tests.kubeapi.faults import Fault
from tests.kubeapi.refusal import Json
from tests.kubeapi.rights import EVERYTHING
from tests.kubeapi.server import KubeApi
from tests.kubeapi.streams import Break

__all__ = ["EVERYTHING", "Break", "Call", "Fault", "Image", "Json", "KubeApi"]
