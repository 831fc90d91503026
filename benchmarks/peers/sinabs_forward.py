"""The peer's side of the Speck benchmark: sinabs' clocked forward pass on 1 ms bins. Runs in the peer's environment.

    python sinabs_forward.py WORKLOAD.npz

For every line on standard input it does one forward pass and prints a line of JSON: wall_s, cpu_s, events_out.
Building the network and the raster is outside the timing. One thread.
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MultiSpike

BIN_US = 1000


def network(layers, arrays):
    modules = []
    for n, layer in enumerate(layers):
        weights = torch.from_numpy(arrays[f"weights{n}"].astype(np.float32))
        conv = torch.nn.Conv2d(
            weights.shape[1], weights.shape[0], weights.shape[2], layer["stride"], layer["padding"], bias=False
        )
        conv.weight.data = weights
        spiking = sl.IAFSqueeze(
            batch_size=1,
            spike_threshold=torch.tensor(float(layer["threshold_high"])),
            min_v_mem=float(layer["threshold_low"]),
            spike_fn=MultiSpike,
        )
        modules += [conv, spiking]
        if layer["pooling"] > 1:
            modules.append(sl.SumPool2d(layer["pooling"]))
    return torch.nn.Sequential(*modules)


def reset(net):
    for module in net.modules():
        if hasattr(module, "v_mem"):
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, torch.zeros_like(buffer.detach()))


def main():
    torch.set_num_threads(1)
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    facts = json.loads(str(arrays["facts"]))
    channels, height, width = facts["shape"]
    steps = facts["duration_us"] // BIN_US
    raster = np.zeros((steps, channels * height * width), np.float32)
    np.add.at(raster, (arrays["t_us"] // BIN_US, arrays["index"]), 1)
    x = torch.from_numpy(raster.reshape(steps, channels, height, width))
    net = network(facts["layers"], arrays)
    print(json.dumps({"peer": "sinabs", "version": version("sinabs"), "torch": version("torch")}), flush=True)
    for _ in sys.stdin:
        reset(net)
        began, cpu = time.perf_counter(), time.process_time()
        with torch.no_grad():
            out = net(x)
        took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
        print(json.dumps(took | {"events_out": int(out.sum())}), flush=True)


if __name__ == "__main__":
    main()
