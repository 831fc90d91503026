"""The checks, one module per group. Permanent ids: a number is never given to another rule."""
