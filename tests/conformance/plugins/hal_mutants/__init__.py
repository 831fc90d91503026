"""Devices that are broken in one way each: faults, mixed into correct devices."""
