"""rockpool's side of the DYNAP-SE2 simulation benchmark: DynapSim compiled by jax. Runs in the peer's environment.

    python rockpool_dynapsim.py WORKLOAD.npz

For every line on standard input it does one run and prints a line of JSON: wall_s, spikes, and a checksum of all counts
of spikes. Building, and a first run in which the code is compiled, are outside the timing.
"""

import json
import sys
import time
import zlib
from importlib.metadata import version

import jax
import numpy as np
from rockpool.devices.dynapse import DynapSim


def main():
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    n = len(arrays["w_rec"])
    simulator = DynapSim((n, n), has_rec=True, w_rec=arrays["w_rec"], dt=float(arrays["dt"]))
    run = jax.jit(lambda weighted: simulator.evolve(weighted)[0])
    weighted = arrays["weighted"][None]
    run(weighted).block_until_ready()
    print(json.dumps({"peer": "rockpool", "version": version("rockpool")}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        spikes = run(weighted).block_until_ready()
        wall = time.perf_counter() - began
        counts = np.asarray(spikes)[0].astype(np.uint8)
        answer = {"wall_s": wall, "spikes": int(counts.sum()), "digest": zlib.crc32(counts.tobytes())}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
