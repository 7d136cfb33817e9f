"""agentd: PID 1 in every pod. It keeps an agent CLI running and tells what happens.

Everything that happens is written down first, then told over stdin and stdout to whoever attaches. In its folder:
`journal`, `inbox`, `lock` (held while it lives), `cli` (the CLI's process), `printed` (how far the reader was told),
`handing` (a file on its way out), `finished` (there when the run is over: its reason and its words), `workspace/`,
`home/`, `uploads/`, `outbox/`.
"""
