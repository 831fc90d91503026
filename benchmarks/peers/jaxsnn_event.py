"""jaxsnn's side of the BrainScaleS-2 benchmark: event-based layers, compiled by jax. Runs in the peer's environment.

    python jaxsnn_event.py WORKLOAD.npz

For every line on standard input it does one run and prints a line of JSON: wall_s, spikes of the hidden and of the
output layer. Building, and a first run in which the code is compiled, are outside the timing.
"""

import json
import os
import sys
import time
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
from jaxsnn.event.modules import LIF, LIFParameters, Linear, Source
from jaxsnn.event.topology import Topology
from jaxsnn.event.types import Spike


def main():
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    parameters = LIFParameters(
        tau_syn=float(arrays["tau_syn"]), tau_mem=float(arrays["tau_mem"]), v_th=1.0, v_reset=float(arrays["v_reset"])
    )
    w1, w2 = arrays["w1"], arrays["w2"]
    net = Topology(t_max=float(arrays["until"]))
    # so many events that none is cut off: every neuron spikes once at most
    budget = w1.shape[0] + w1.shape[1] + 1
    net.add(
        {
            "inputs": Source(w1.shape[0]),
            "to_hidden": Linear(pre_weights=w1),
            "hidden": LIF(w1.shape[1], budget, parameters),
            "to_output": Linear(pre_weights=w2),
            "output": LIF(w2.shape[1], budget + w2.shape[1], parameters),
        }
    )
    net.connect([("inputs", "to_hidden"), ("to_hidden", "hidden"), ("hidden", "to_output"), ("to_output", "output")])
    init, apply = net.done()
    weights, run = init(jax.random.PRNGKey(0)), jax.jit(apply)
    t, channel = jnp.asarray(arrays["times"]), jnp.asarray(arrays["channels"])
    events = Spike(
        time=t,
        idx=channel,
        current=jnp.zeros_like(t),
        layer_idx=jnp.zeros_like(channel),
        internal=jnp.ones_like(channel, dtype=bool),
    )
    jax.block_until_ready(run({"inputs": events}, weights))
    print(json.dumps({"peer": "jaxsnn", "version": version("jaxsnn")}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        seen = jax.block_until_ready(run({"inputs": events}, weights))
        wall = time.perf_counter() - began
        spikes = {name: int(np.asarray(seen[name].internal).sum()) for name in ("hidden", "output")}
        print(json.dumps({"wall_s": wall, **spikes}), flush=True)


if __name__ == "__main__":
    main()
