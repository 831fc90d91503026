"""brian2-loihi's side of the Loihi benchmark, compiled with cython. Runs in the peer's environment.

    python brian2_loihi_run.py WORKLOAD.npz

For every line on standard input it does one run and prints a line of JSON: wall_s, spikes. Building, and a first step
in which the code is compiled, are outside the timing. One block only.
"""

import json
import sys
import time
import warnings
from importlib.metadata import version

import brian2
import numpy as np
from brian2_loihi import (
    LoihiNetwork,
    LoihiNeuronGroup,
    LoihiSpikeGeneratorGroup,
    LoihiSpikeMonitor,
    LoihiSynapses,
    synapse_sign_mode,
)


def build(arrays, facts):
    group = LoihiNeuronGroup(
        facts["size"],
        refractory=1,
        threshold_v_mant=facts["threshold"],
        decay_v=facts["decay_v"],
        decay_I=facts["decay_u"] + 1,
    )
    step, index = np.nonzero(arrays["spikes"])
    host = LoihiSpikeGeneratorGroup(arrays["spikes"].shape[1], index, step + 1)
    synapses = []
    for n, (source, _) in enumerate(facts["connections"]):
        mantissas = arrays[f"mantissas{n}"]
        pre, post = np.nonzero(mantissas)
        made = LoihiSynapses(host if source < 0 else group, group, sign_mode=synapse_sign_mode.MIXED)
        made.connect(i=pre, j=post)
        made.w = mantissas[pre, post].astype(int)
        synapses.append(made)
    monitor = LoihiSpikeMonitor(group)
    return LoihiNetwork(group, host, *synapses, monitor), monitor


def main():
    warnings.simplefilter("ignore")
    brian2.prefs.codegen.target = "cython"
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    facts = json.loads(str(arrays["facts"]))
    if facts["blocks"] != 1:
        sys.exit("one block only")
    print(json.dumps({"peer": "brian2-loihi", "version": version("brian2-loihi")}), flush=True)
    for _ in sys.stdin:
        network, monitor = build(arrays, facts)
        network.run(1)
        began = time.perf_counter()
        network.run(len(arrays["spikes"]) - 1)
        wall = time.perf_counter() - began
        print(json.dumps({"wall_s": wall, "spikes": len(monitor.i)}), flush=True)


if __name__ == "__main__":
    main()
