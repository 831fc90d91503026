"""SynSense DYNAP-SE2: ..."""
