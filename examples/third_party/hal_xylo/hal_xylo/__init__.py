"""SynSense Xylo for neurohal: Audio 2, Audio 3 and IMU. `plugin` is what the registry sees."""
