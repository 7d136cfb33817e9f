"""A stub of the Messages API whose model is scripted by the prompt's own text; tests and recordings run against it.

| directive | the model |
|---|---|
| `[[say: TEXT]]` | says it |
| `[[slow: N S]]` | says N pieces, S seconds apart |
| `[[think: TEXT]]` | shows reasoning |
| `[[bash: COMMAND]]`, `[[write: PATH TEXT]]`, `[[tool: NAME {json}]]` | calls a tool |
| `[[error: STATUS]]`, `[[error: STATUS xN]]` | answers with this HTTP error, always or N times |
| `[[midstream: TYPE]]` | breaks off the stream with an error event |
| `[[tokens: IN OUT]]` | counts so many tokens |

Without a directive it echoes; after the last tool it says `done: <the tool's result>`.
"""

from tests.stub_api.server import Request, StubApi

__all__ = ["Request", "StubApi"]
