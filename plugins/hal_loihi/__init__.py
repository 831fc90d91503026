"""Intel Loihi 1: registers, mapper and emulated device."""
