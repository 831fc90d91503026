"""rockpool's side of the DYNAP-SE2 quantisation benchmark: its autoencoder. Runs in the peer's environment.

    python rockpool_quantise.py WORKLOAD.npz

For every line on standard input it does one run with default settings and prints a line of JSON: wall_s, and the error
of the weights over their size (base currents as they are, not rounded to the bias generator).
"""

import json
import sys
import time
from importlib.metadata import version

import numpy as np
from rockpool.devices.dynapse import autoencoder_quantization


def main():
    arrays = dict(np.load(sys.argv[1], allow_pickle=False))
    weights = [arrays[name] for name in ("w_in", "w_rec")]
    core, iscale = arrays["core"], float(arrays["iscale"])
    cores = int(core.max()) + 1
    print(json.dumps({"peer": "rockpool", "version": version("rockpool")}), flush=True)
    for turn, _ in enumerate(sys.stdin):
        np.random.seed(turn)  # noqa: NPY002  its own start is drawn from there
        began = time.perf_counter()
        made = autoencoder_quantization(
            n_cluster=cores, core_map=core, weights_in=weights[0], weights_rec=weights[1], Iscale=iscale
        )
        wall = time.perf_counter() - began
        wrong = size = 0.0
        for c in range(cores):
            base = np.array([made[f"Iw_{k}"][c] for k in range(4)], float) / iscale
            for wanted, name in zip(weights, ("weights_in", "weights_rec"), strict=True):
                mine = (wanted != 0) & (core == c)[None, :]
                masks = (np.asarray(made[name][c])[..., None].astype(int) >> np.arange(4)) & 1
                wrong += ((np.abs(wanted) - masks @ base)[mine] ** 2).sum()
                size += (wanted[mine] ** 2).sum()
        print(json.dumps({"wall_s": wall, "rel_rmse": float(np.sqrt(wrong / size))}), flush=True)


if __name__ == "__main__":
    main()
