"""Loihi chip family: what its integers are, and how a network becomes them."""
