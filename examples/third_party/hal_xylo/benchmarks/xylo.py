"""Speed of the emulator on four workloads, alone and through neurohal; one line of JSON each.

    python benchmarks/xylo.py [--repeat 7] [--only a,b,c,d]

Timed: `Core.run` on a ready raster after a reset, and `Device.run` of the same network. Not timed: building, compiling.
The workloads are those published for xylosim 0.1.3: a dense 16-100-8; a full Audio 2 of two synapses and fan-out 32; a
full IMU of fan-out 64; a network of all-to-all connections and threshold 1, in which everything fires.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import hal
import numpy as np

from hal_xylo.config import RunConfig, XyloConfig
from hal_xylo.emulator import Core
from hal_xylo.registers import Registers

STEP_NS = 1_000_000
SIZES = {
    "a": ("a_dense_16_100_8", 11, 16, 100, 8, 1, 1000, 0.1, 0),
    "b": ("b_audio2_16_1000_8", 12, 16, 1000, 8, 2, 300, 0.2, 32),
    "c": ("c_imu_16_496_16", 13, 16, 496, 16, 1, 1000, 0.1, 64),
    "d": ("d_saturated_16_100_8", 11, 16, 100, 8, 1, 1000, 1.0, 100),
}


def workload(key: str) -> tuple[str, dict[str, Any], Any]:
    """(name, registers, raster (steps, 16)); the draws are in the order of the published recipe."""
    name, seed, channels, n, outputs, synapses, steps, rate, fan_out = SIZES[key]
    rng = np.random.default_rng(seed)
    w_in = rng.integers(-60, 80, (channels, n, synapses))
    w_rec = np.zeros((n, n, synapses), np.int64)
    for source in range(n):
        w_rec[source, rng.choice(n, fan_out, replace=False)] = rng.integers(-90, 50, (fan_out, synapses))
    w_out = rng.integers(-50, 52, (n, outputs))
    if key == "c":
        w_in[:, 128:], w_out[:-128] = 0, 0
    values = {
        "threshold": rng.integers(400, 1500, n),
        "threshold_out": rng.integers(1000, 4000, outputs),
        "dash_mem": rng.integers(2, 6, n),
        "dash_mem_out": rng.integers(3, 6, outputs),
        "dash_syn": rng.integers(1, 5, (n, synapses)),
        "dash_syn_out": rng.integers(2, 5, outputs),
    }
    if key == "d":
        w_rec, values["threshold"] = rng.integers(-90, 100, (n, n, synapses)), np.ones(n, np.int64)
    raster = (rng.random((steps, channels)) < rate).astype(np.int64)
    return name, {"w_in": w_in, "w_rec": w_rec, "w_out": w_out, **values}, raster


def timed(call: Any, repeat: int) -> dict[str, float]:
    """Wall seconds: median, least, most."""
    walls = []
    for _ in range(repeat):
        began = time.perf_counter()
        call()
        walls.append(time.perf_counter() - began)
    return {"wall_s": round(statistics.median(walls), 6), "min_s": round(min(walls), 6), "max_s": round(max(walls), 6)}


def device(values: dict[str, Any]) -> hal.Device | None:
    """An opened part with these registers; None where no part has room for the network."""
    n, outputs = values["threshold"].size, values["threshold_out"].size
    runs = {"inputs": len(values["w_in"]), "populations": n, "readouts": outputs}
    named = {kind: (RunConfig(name=kind, shape=(size,)),) for kind, size in runs.items()}
    rest = {"bias": np.zeros(n, int), "bias_out": np.zeros(outputs, int), "alias": np.full(n, -1)}
    for part in ("xylo-audio2", "xylo-audio3", "xylo-imu"):
        try:
            mapping = hal.mapper(part).adopt(XyloConfig(part=part, **named, **values, **rest))
        except hal.HalError:
            continue
        opened = hal.open(part, overrun="wait")
        opened.load(mapping)
        return opened
    return None


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--only", default="a,b,c,d")
    options = parser.parse_args()
    for key in options.only.split(","):
        name, values, raster = workload(key)
        core = Core(Registers(**values))
        result = core.run(raster)
        steps, synops = len(raster), int(result.synops.sum())

        def alone(core: Core = core, raster: Any = raster) -> None:
            core.reset()
            core.run(raster)

        found = timed(alone, options.repeat)
        line = {"workload": name, "steps": steps, "hidden_spikes": int(result.spikes.sum()), "synops": synops, **found}
        line |= {"steps_per_s": round(steps / found["wall_s"]), "synops_per_s": round(synops / found["wall_s"])}
        opened = device(values)
        if opened is not None:

            def whole(opened: hal.Device = opened, raster: Any = raster) -> None:
                opened.reset()
                opened.run({"inputs": raster}, len(raster) * STEP_NS)

            whole()
            line["device"] = opened.spec.name
            line["device_wall_s"] = timed(whole, options.repeat)["wall_s"]
            opened.close()
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
