"""Recordings of event cameras: each module reads the formats of one maker, as they are."""
