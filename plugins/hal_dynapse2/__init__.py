"""SynSense DYNAP-SE2: mixed-signal chips of four cores, routed by tags."""
