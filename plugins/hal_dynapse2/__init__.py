"""SynSense DYNAP-SE2: mixed-signal neurons on cores that share their biases, routed by tags."""
