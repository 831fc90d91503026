<<<<<<< HEAD
"""SynSense DYNAP-SE2: mixed-signal chips of four cores, routed by tags."""
=======
"""SynSense DYNAP-SE2: mixed-signal neurons on cores that share their biases, routed by tags."""
>>>>>>> quant
