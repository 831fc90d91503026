"""The vectors of DYNAP-SE2: what scipy and rockpool say of two small networks, as the mapper sets the chip for them.

    python tests/golden/make_dynapse2_vectors.py PLUGINS ROCKPOOL_PYTHON

writes them into PLUGINS/hal_dynapse2/vectors/DEVICE, PLUGINS being the folder of the plugins. dynapse2: the equations
of docs/chips/dynapse2_equations.md by `dynapse2_ode`. dynapse2-dynapsim: rockpool's DynapSim itself, in an environment
of its own (benchmarks/peers/README.md), by `rockpool_dynapsim_vector.py`. Registers are the mapper's; currents are read
off the vendor's tables.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))

import dynapse2_ode

import hal
from hal.evidence import write_vector

HERE = Path(__file__).parent

DT_NS = 1_000_000
SEMANTICS = hal.Semantics(profile="nir", dt_ns=DT_NS, gain="one", current_gain="one")
N_IN, FIRST, SECOND = 8, 12, 6
I_SCALE = 1e-8
"""Unit of DynapSim's weights, A."""

SAME = (
    "If_nmda", "Igain_ahp", "Igain_mem", "Ipulse_ahp", "Ipulse", "Iref", "Ispkthr", "Itau_ahp", "Itau_mem", "Iw_ahp"
)  # fmt: skip
"""Currents that DynapSim has under the names of the equations."""


def write_model(path: Path, seed: int) -> None:
    """Input -> 12 neurons -> 6 neurons, which inhibit each other; one connection in four inhibits."""
    random = np.random.default_rng(seed)

    def weight(after: int, before: int, scale: float) -> NDArray[np.float32]:
        sign = np.where(random.random((after, before)) < 0.25, -1.0, 1.0)
        return (scale * sign * random.uniform(0.4, 1.2, (after, before))).astype(np.float32)

    def neurons(size: int, tau_mem: float, tau_syn: float) -> nir.NIRNode:
        ones = np.ones(size)
        return nir.CubaLIF(
            tau_mem=tau_mem * ones, tau_syn=tau_syn * ones, r=ones, v_leak=0 * ones, v_threshold=ones,
            v_reset=0 * ones, w_in=ones,
        )  # fmt: skip

    nodes = {
        "input": nir.Input({"input": np.array([N_IN])}),
        "fc1": nir.Linear(weight(FIRST, N_IN, 0.12)),
        "first": neurons(FIRST, 20e-3, 5e-3),
        "fc2": nir.Linear(weight(SECOND, FIRST, 0.06)),
        "second": neurons(SECOND, 12e-3, 8e-3),
        "rec": nir.Linear(-np.abs(weight(SECOND, SECOND, 0.03))),
        "output": nir.Output({"output": np.array([SECOND])}),
    }
    edges = [("input", "fc1"), ("fc1", "first"), ("first", "fc2"), ("fc2", "second"), ("second", "output")]
    nir.write(str(path), nir.NIRGraph(nodes=nodes, edges=[*edges, ("second", "rec"), ("rec", "second")]))


def stimulus(seed: int, duration_ns: int, rate_hz: float, grid_ns: int) -> Any:
    """Poisson events on all channels, on a grid."""
    random = np.random.default_rng(seed)
    count = random.poisson(N_IN * rate_hz * duration_ns * 1e-9)
    flat = np.unique(random.integers(0, duration_ns // grid_ns * N_IN, count))
    return hal.events(flat // N_IN * grid_ns, flat % N_IN)


def trains(config: Any, t_ns: NDArray[np.int64], neuron: NDArray[np.int64]) -> dict[str, Any]:
    """Spikes of all neurons as events of the first layer and of the output."""
    made = {}
    for run, name in zip(config.populations, ("first", "output"), strict=True):
        mine = (neuron >= run.first) & (neuron < run.first + run.size)
        order = np.lexsort((neuron[mine], t_ns[mine]))
        made[name] = hal.events(t_ns[mine][order], neuron[mine][order] - run.first)
    return made


def chip(model: Path, duration_ns: int = 500_000_000) -> dict[str, Any]:
    """What scipy says of it, in whole microseconds."""
    mapping = hal.mapper("dynapse2").map(hal.read_model(model, SEMANTICS), record=["first"])
    events = stimulus(11, 500_000_000, 60.0, 1000)
    events = events[events["t"] < duration_ns]
    found = dynapse2_ode.run(mapping.config, events["t"], events["index"].astype(np.int64), duration_ns * 1e-9)
    t, neuron = (np.array(column) for column in zip(*found, strict=True))
    return {
        "semantics": SEMANTICS,
        "source": "scipy's solve_ivp (DOP853, rtol 1e-10) on the documented equations",
        "stimulus": {"input": events},
        "duration_ns": duration_ns,
        "spikes": trains(mapping.config, np.floor(t * 1e6).astype(np.int64) * 1000, neuron.astype(np.int64)),
        "window_ns": 2000,
    }


def simulator(model: Path, python: str, steps: int = 500) -> dict[str, Any]:
    """What DynapSim says of it, in steps."""
    mapping = hal.mapper("dynapse2-dynapsim").map(hal.read_model(model, SEMANTICS), record=["first"])
    config = mapping.config
    events = stimulus(12, steps * DT_NS, 100.0, DT_NS)
    of = dynapse2_ode.currents(config)
    base = np.stack([of[f"Iw_{k}"] for k in range(4)], axis=1)
    n = config.neurons.chip.size
    weights = np.zeros((N_IN + n, n))
    for source, packets in dynapse2_ode.wires(config).items():
        for neuron, dendrite, mask in (entry for _, entries in packets for entry in entries):
            size = (mask >> np.arange(4) & 1) @ base[neuron]
            weights[source, neuron] += {0: size, 1: -size}[dendrite] / I_SCALE
    raster = np.zeros((steps, N_IN), np.float32)
    np.add.at(raster, (events["t"] // DT_NS, events["index"]), 1)
    names = (
        "Idc",
        "If_nmda",
        "Igain_ahp",
        "Igain_mem",
        "Ipulse_ahp",
        "Ipulse",
        "Iref",
        "Ispkthr",
        "Itau_ahp",
        "Itau_mem",
    )
    given: dict[str, Any] = {name: of[name] for name in (*names, "Iw_ahp")}
    given |= {"Itau_syn": of["Itau_ampa"], "Igain_syn": of["Igain_ampa"], "Idc": np.full(n, dynapse2_ode.IO)}
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked.npz", Path(folder) / "answered.npz"
        np.savez(asked, raster=raster, weights=weights.astype(np.float32), n_in=N_IN, dt=DT_NS * 1e-9,
                 iscale=I_SCALE, **given)  # fmt: skip
        script = str(HERE / "rockpool_dynapsim_vector.py")
        subprocess.run([python, script, str(asked), str(answered)], check=True)
        with np.load(answered, allow_pickle=False) as file:
            counts = file["spikes"].astype(np.int64)
    step, neuron = np.nonzero(counts)
    times = counts[step, neuron]
    return {
        "semantics": SEMANTICS,
        "source": "rockpool 3.1.0, DynapSim",
        "stimulus": {"input": events},
        "duration_ns": steps * DT_NS,
        "spikes": trains(config, np.repeat(step, times) * DT_NS, np.repeat(neuron, times)),
    }


def main() -> None:
    """The command."""
    plugins, python = Path(sys.argv[1]), sys.argv[2]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "two_layers.nir"
        write_model(model, 5)
        for device, name, about in (
            ("dynapse2", "two_layers_ode", chip(model)),
            ("dynapse2-dynapsim", "two_layers_dynapsim", simulator(model, python)),
        ):
            made = write_vector(plugins / "hal_dynapse2" / "vectors" / device, name, model, **about)
            print(f"{device} {name}:", {key: train.size for key, train in made.spikes.items()})


if __name__ == "__main__":
    main()
