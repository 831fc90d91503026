"""nengo-loihi's side of the Loihi benchmark: its emulator, blocks built directly. Runs in the peer's environment.

    python nengo_loihi_run.py WORKLOAD.npz

For every line on standard input it does one run and prints a line of JSON: wall_s, spikes. Building is outside the
timing. One thread.
"""

import json
import sys
import time
import warnings

import nengo_loihi
import numpy as np
from nengo_loihi.block import Axon, LoihiBlock, Synapse
from nengo_loihi.builder import Model
from nengo_loihi.emulator import EmulatorInterface
from nengo_loihi.inputs import SpikeInput

V_LIMIT = 2**23 - 1


def block(size, facts):
    made = LoihiBlock(size)
    compartment = made.compartment
    values = {"decay_u": facts["decay_u"], "decay_v": facts["decay_v"], "vth": facts["threshold"] * 64, "bias": 0}
    for name, value in (values | {"refract_delay": 1}).items():
        setattr(compartment, name, np.full(size, value, np.int32))
    compartment.scale_u = compartment.scale_v = False
    compartment.vmin, compartment.vmax = -V_LIMIT, V_LIMIT
    return made


def connect(source, target, mantissas):
    synapse = Synapse(len(mantissas))
    indices = [np.flatnonzero(row).astype(np.int32)[None] for row in mantissas]
    weights = [(row[at[0]] * 64)[None] for row, at in zip(mantissas, indices, strict=True)]
    synapse._set_weights_indices(weights, indices=indices, weight_dtype=np.int32, compression=3)
    target.add_synapse(synapse)
    axon = Axon(len(mantissas))
    axon.target = synapse
    axon.set_compartment_axon_map(np.arange(len(mantissas)))
    source.add_axon(axon)


def build(arrays, facts):
    model = Model()
    blocks = [block(facts["size"], facts) for _ in range(facts["blocks"])]
    for each in blocks:
        model.add_block(each)
    host = SpikeInput(arrays["spikes"].shape[1])
    for step, row in enumerate(arrays["spikes"], start=1):
        host.add_spikes(step, list(np.flatnonzero(row)), permanent=True)
    model.add_input(host)
    for n, (source, target) in enumerate(facts["connections"]):
        connect(host if source < 0 else blocks[source], blocks[target], arrays[f"mantissas{n}"])
    return EmulatorInterface(model, seed=0)


def main():
    warnings.simplefilter("ignore")
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    facts = json.loads(str(arrays["facts"]))
    print(json.dumps({"peer": "nengo-loihi", "version": nengo_loihi.__version__}), flush=True)
    for _ in sys.stdin:
        emulator = build(arrays, facts)
        spikes = []
        began = time.perf_counter()
        for _ in range(len(arrays["spikes"])):
            emulator.step()
            spikes.append(emulator.compartment.spiked.copy())
        wall = time.perf_counter() - began
        print(json.dumps({"wall_s": wall, "spikes": int(np.sum(spikes))}), flush=True)


if __name__ == "__main__":
    main()
