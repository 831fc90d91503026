"""What lies on disk: mappings in a zip; recordings as Arrow streams with a manifest, readable after a crash."""
