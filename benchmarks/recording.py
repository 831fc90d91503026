"""What recording to disk costs a run: `Device.run` on speck2f, every layer recorded, in memory and to disk, in turn.

    python benchmarks/recording.py [--only WORKLOAD ...] [--times N] [--repeat N] [--json]

Emulation is the run with the default speed of cores that keeps its recording in memory. To disk it is streamed as
`run(to=...)` does: the stimulus, every layer, checksums, the manifest. Workloads are those of `run.py`; `--times` puts
that many behind each other in one run, which shows what is paid once and what with every event. `once_ms` is what a run
without any event costs more on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("NUMBA_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import workloads
from rich.console import Console
from rich.table import Table
from run import Ours

import hal


def seconds(ours: Ours, stimulus: dict[str, Any], duration_ns: int, to: Path | None) -> tuple[float, hal.Recording]:
    """Wall seconds of one run, and its recording."""
    ours.timed.reset()
    began = time.perf_counter()
    recording = ours.timed.run(stimulus, duration_ns, to=to)
    return time.perf_counter() - began, recording


def measure(name: str, times: int, repeat: int) -> dict[str, Any]:
    """A row: the fastest of `repeat` runs each, in memory and to disk in turn."""
    work = workloads.workload(name)
    ours = Ours(work)
    shifts = np.repeat(np.arange(times) * ours.duration_ns, len(work.t))
    stimulus = {"input": hal.events(np.tile(work.t * 1000, times) + shifts, np.tile(work.index, times))}
    silence = {"input": hal.events(np.empty(0, np.int64), np.empty(0, np.int64))}
    duration_ns = ours.duration_ns * times
    taken: dict[str, list[float]] = {"memory": [], "disk": [], "silent memory": [], "silent disk": []}
    events = size = 0
    seconds(ours, stimulus, duration_ns, None)
    for _ in range(repeat):
        for what, fed in (("", stimulus), ("silent ", silence)):
            taken[f"{what}memory"].append(seconds(ours, fed, duration_ns, None)[0])
            with tempfile.TemporaryDirectory() as folder:
                wall, recording = seconds(ours, fed, duration_ns, Path(folder) / "run")
                taken[f"{what}disk"].append(wall)
                if not what:
                    events = recording.event_count() + len(stimulus["input"])
                    size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    best = {what: min(walls) for what, walls in taken.items()}
    return {
        "workload": f"{name} x {times}",
        "recorded": events,
        "bytes": size,
        "memory_s": best["memory"],
        "disk_s": best["disk"],
        "cost": best["disk"] / best["memory"] - 1,
        "cost_median": float(np.median(taken["disk"]) / np.median(taken["memory"])) - 1,
        "once_ms": (best["silent disk"] - best["silent memory"]) * 1e3,
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="What recording to disk costs a run.")
    parser.add_argument("--only", nargs="+", choices=workloads.NAMES, default=["nmnist200k"])
    parser.add_argument("--times", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--repeat", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [measure(name, times, options.repeat) for name in options.only for times in options.times]
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    table = Table("workload", "events recorded", "MB", "memory ms", "disk ms", "cost", "cost (median)", "once ms")
    for row in rows:
        table.add_row(
            row["workload"],
            f"{row['recorded']:,}",
            f"{row['bytes'] / 1e6:.1f}",
            f"{row['memory_s'] * 1e3:.1f}",
            f"{row['disk_s'] * 1e3:.1f}",
            f"{row['cost']:.1%}",
            f"{row['cost_median']:.1%}",
            f"{row['once_ms']:.1f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
