"""How a recording lies on disk: Arrow streams, a manifest, and what can be read back after a crash."""
