"""One driver per CLI: how it is started, what its lines mean, how it is spoken to. No driver does any I/O."""
