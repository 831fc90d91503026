"""rockpool's side of the DYNAP-SE2 allocation benchmark: WeightAllocator. Runs in the peer's environment.

    python rockpool_allocate.py WORKLOAD.npz

For every line on standard input it does one run and prints a line of JSON: wall_s, and how many CAM entries, SRAM
entries and destinations of the host are in use.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from rockpool.devices.dynapse.hardware.config.allocator import WeightAllocator


def main():
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    codes = [arrays[name] for name in ("q_in", "q_rec", "s_in", "s_rec")]
    core_map = [int(core) for core in arrays["core"]]
    print(json.dumps({"peer": "rockpool", "version": version("rockpool")}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        made = WeightAllocator(*codes, core_map=core_map)
        cam = made.CAM_content()
        sram = made.SRAM_content(monitor_neurons=list(range(len(core_map))))
        host = made.input_channel_map()
        wall = time.perf_counter() - began
        answer = {
            "wall_s": wall,
            "cam": sum(any(entry.weight) for entries in cam.values() for entry in entries),
            "sram": sum(any(entry.core) for entries in sram.values() for entry in entries),
            "host": sum(len(entries) for entries in host.values()),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
