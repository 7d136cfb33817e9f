"""The windows: one vendor each. Adapters do not know each other; they know the core's nouns and ports."""
