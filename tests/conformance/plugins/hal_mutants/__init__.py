"""Devices that are broken in one way each, made from the reference."""
