"""The door: command line, settings, logging, the HTTP listener and the wiring. Nothing else wires."""
