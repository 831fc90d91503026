"""A peer's side of a benchmark: a child process in the peer's own environment that does one run per line."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["Peer"]

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # the threads jax starts
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}

SCRIPTS = Path(__file__).parent / "peers"


class Peer:
    """`python SCRIPT PATH`: says who it is, then a line of JSON, with wall_s, for every line it is given."""

    def __init__(self, python: str, script: str, path: Path) -> None:
        environment = os.environ | ONE_THREAD
        environment.pop("PYTHONPATH", None)
        command = [python, str(SCRIPTS / script), str(path)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        facts = self._read()
        self.name = f"{facts['peer']} {facts['version']}"
        self.last: dict[str, Any] = {}
        """What the last run gave."""

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def run(self) -> dict[str, Any]:
        """What one run gave; wall_s is its wall time, s."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.last = self._read()
        return self.last

    def close(self) -> None:
        """End the child."""
        self.process.communicate(timeout=60)
