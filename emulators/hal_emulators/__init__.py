"""Behavioural emulators of neuromorphic silicon: arrays in, arrays out.

Imports nothing of `hal` and nothing of the plugins.
"""
