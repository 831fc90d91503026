"""Speck / DynapCNN chip family: chip tables, quantisation, allocation, mapper and device."""
