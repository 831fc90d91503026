"""BrainScaleS-2: accelerated analog neurons, continuous in time."""
