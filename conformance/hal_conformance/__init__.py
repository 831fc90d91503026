"""The conformance suite: one judge for every device."""
