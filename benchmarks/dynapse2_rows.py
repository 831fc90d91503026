"""The workloads of the DYNAP-SE2 benchmark: what each side is given, what ours does, and how answers are compared."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

import hal
from hal import nodes
from hal_dynapse2 import quantise
from hal_dynapse2.allocator import Connections, allocate
from hal_dynapse2.base_currents import round_bases
from hal_dynapse2.config import ChipsConfig
from hal_dynapse2.limits import DENDRITES, NEURONS
from hal_dynapse2.packing import Places
from hal_emulators import dpi
from hal_emulators.dynapsim import DynapSim, Neurons, Synapses, events

Facts = dict[str, Any]
ISCALE = 1e-8
"""A per unit of weight."""


@attrs.frozen(kw_only=True, eq=False)
class Row:
    """One line of the table."""

    script: str = ""
    """The peer's, in `peers`; none: no peer does that."""
    arrays: dict[str, NDArray[Any]] = attrs.field(factory=dict)
    """What the peer is given."""
    prepare: Callable[[], Callable[[], Any]]
    """Builds ours; calling what it returns is what is timed."""
    facts: Callable[[Any], Facts]
    """Of what a timed call returned: what is reported, and compared with the peer's answer."""
    agreement: Callable[[Facts, Facts], str]
    """Of our facts and the peer's (none: empty): one phrase."""
    repeat: int | None = None
    """At most so often: the peer takes minutes."""


def network(
    n: int, n_in: int, k_rec: int, k_in: int, seed: int, in_scale: float, rec_scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights of inputs (n_in, n) and of neurons (n, n): so many connections end on every neuron.

    Sizes are uniform in 0.5..1.5 times the scale; one neuron in five is inhibitory. Draw order: who inhibits, then for
    every neuron the sizes of its inputs, the inputs, its sources, their sizes (as the peer's published figures).
    """
    random = np.random.default_rng(seed)
    w_in, w_rec = np.zeros((n_in, n), np.float32), np.zeros((n, n), np.float32)
    sign = np.where(random.random(n) < 0.2, -1, 1)
    for target in range(n):
        sizes = random.uniform(0.5, 1.5, k_in)
        w_in[random.choice(n_in, k_in, replace=False), target] = in_scale * sizes
        chosen = random.choice(n, k_rec, replace=False)
        w_rec[chosen, target] = rec_scale * random.uniform(0.5, 1.5, k_rec) * sign[chosen]
    return w_in, w_rec


def raster_of(seed: int) -> NDArray[np.bool_]:
    """One second in steps of 1 ms: 64 inputs of 10 Hz."""
    return np.random.default_rng(seed + 1).random((1000, 64)) < 10.0 * 1e-3


def simulation(n: int, k_rec: int, seed: int, rec_scale: float) -> Row:
    """The vendor's simulator with its default parameters; 8 of the inputs to every neuron."""
    w_in, w_rec = network(n, 64, k_rec, 8, seed, 4.0, rec_scale)
    raster = raster_of(seed)
    neurons, rows = Neurons(Io=np.full(n, 5e-13)), (Synapses.from_dense(w_in), Synapses.from_dense(w_rec))
    given = events(raster)

    def prepare() -> Callable[[], Any]:
        made = DynapSim(neurons, *rows, dt_s=1e-3)
        return lambda: made.run(len(raster), *given)

    def facts(result: Any) -> Facts:
        counts = np.zeros((len(raster), n), np.uint8)
        counts[result.spike_step, result.spike_index] = result.spike_count
        return {"spikes": int(result.spikes.sum()), "synops": result.synops, "digest": zlib.crc32(counts.tobytes())}

    def agreement(ours: Facts, theirs: Facts) -> str:
        if not theirs:
            return f"{ours['spikes']} spikes"
        if ours["digest"] == theirs["digest"]:
            return f"all counts equal, {ours['spikes']} spikes"
        return f"{ours['spikes']} spikes, peer {theirs['spikes']}"

    arrays: dict[str, NDArray[Any]] = {"weighted": raster.astype(np.float32) @ w_in, "w_rec": w_rec}
    arrays["dt"] = np.array(1e-3)
    return Row(script="rockpool_dynapsim.py", arrays=arrays, prepare=prepare, facts=facts, agreement=agreement)


def quantisation(n: int, seed: int, repeat: int | None = None) -> Row:
    """Base currents and masks of all connections that end on each core; ours on entries of the bias generator."""
    w_in, w_rec = network(n, 64, 51, 8, seed, 1.0, 1.0)
    core = np.arange(n) // NEURONS
    weights = np.concatenate([np.abs(w_in), np.abs(w_rec)]).astype(np.float64)

    def run() -> Any:
        made = []
        for k in range(n // NEURONS):
            mine = weights[:, core == k]
            found = quantise.fit(mine)
            made.append((mine, found.realised, round_bases(found.base, mine, ISCALE).quantised.realised))
        return made

    def facts(made: Any) -> Facts:
        size = sum((mine**2).sum() for mine, _, _ in made)
        free, rounded = (float(np.sqrt(sum(((one[0] - one[k]) ** 2).sum() for one in made) / size)) for k in (1, 2))
        return {"weights": int((weights > 0).sum()), "rel_rmse_free": free, "rel_rmse": rounded}

    def agreement(ours: Facts, theirs: Facts) -> str:
        error = f"rms error {100 * ours['rel_rmse']:.2f} % ({100 * ours['rel_rmse_free']:.2f} % before rounding)"
        return error + (f", peer {100 * theirs['rel_rmse']:.2f} % before rounding" if theirs else "")

    return Row(
        script="rockpool_quantise.py",
        arrays={"w_in": w_in, "w_rec": w_rec, "core": core, "iscale": np.array(ISCALE)},
        prepare=lambda: run,
        facts=facts,
        agreement=agreement,
        repeat=repeat,
    )


def allocation(n: int, seed: int) -> Row:
    """CAM, SRAM and the host's destinations, from matrices of codes and signs; every neuron is monitored."""
    w_in, w_rec = network(n, 64, 51, 8, seed, 1.0, 1.0)
    random = np.random.default_rng(0)
    q_in, q_rec = (np.where(w != 0, random.integers(1, 16, w.shape), 0) for w in (w_in, w_rec))
    place = np.divmod(np.arange(n), NEURONS)
    codes, signs = np.concatenate([q_in, q_rec]), np.sign(np.concatenate([w_in, w_rec]))

    def run() -> Any:
        flat = np.flatnonzero(codes)
        source, target = np.divmod(flat, n)
        dendrite = np.where(signs.ravel()[flat] > 0, DENDRITES["ampa"], DENDRITES["gaba"])
        wanted = Connections(64, source, target, dendrite, codes.ravel()[flat])
        places = Places(np.zeros(n, np.int64), *place)
        return allocate(wanted, places, ChipsConfig(x=np.array([1]), y=np.array([0])), monitored=np.ones(n, bool))

    def facts(made: Any) -> Facts:
        assert not made.violations
        used = [made.cam.dendrite > 0, made.sram.core_mask > 0, made.host.channel >= 0]
        return dict(zip(("cam", "sram", "host"), (int(part.sum()) for part in used), strict=True))

    def agreement(ours: Facts, theirs: Facts) -> str:
        counted = ", ".join(f"{ours[name]} {word}" for name, word in WORDS.items())
        other = ", ".join(f"{theirs[name]} {word}" for name, word in WORDS.items() if theirs)
        same = theirs and all(ours[name] == theirs[name] for name in WORDS)
        return f"{counted}, all equal" if same else counted + (f"; peer {other}" if theirs else "")

    return Row(
        script="rockpool_allocate.py",
        arrays={"q_in": q_in, "q_rec": q_rec, "s_in": np.sign(w_in), "s_rec": np.sign(w_rec), "core": place[0]},
        prepare=lambda: run,
        facts=facts,
        agreement=agreement,
    )


WORDS = {"cam": "CAM entries", "sram": "SRAM entries", "host": "host destinations"}


def mapping() -> Row:
    """The whole way from a model of 1024 recurrent CubaLIF neurons to registers; the peer refuses so many."""
    n = 1024
    w_in, w_rec = network(n, 64, 51, 8, 4321, 4.0, 0.2)

    def linear(name: str, weight: NDArray[np.float32]) -> nodes.Node:
        after, before = weight.shape
        return nodes.Linear(name=name, input_shape=(before,), output_shape=(after,), weight=weight)

    ones = np.ones(n)
    named: dict[str, nodes.Node] = {
        "input": nodes.Input(name="input", input_shape=(64,), output_shape=(64,)),
        "fc": linear("fc", np.ascontiguousarray(w_in.T)),
        "lif": nodes.CubaLIF(
            name="lif", input_shape=(n,), output_shape=(n,), tau_mem=0.02 * ones, tau_syn=0.01 * ones, r=ones,
            w_in=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones,
        ),
        "rec": linear("rec", np.ascontiguousarray(w_rec.T)),
        "output": nodes.Output(name="output", input_shape=(n,), output_shape=(n,)),
    }  # fmt: skip
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    model = hal.Model.of(named, edges, hal.Semantics(profile="nir", dt_ns=1_000_000))

    def facts(made: Any) -> Facts:
        config = made.config
        return {"cores": config.cores.chip.size, "cam": int((config.cam.mask > 0).sum())}

    return Row(
        prepare=lambda: lambda: hal.mapper("dynapse2").map(model),
        facts=facts,
        agreement=lambda ours, _: f"{ours['cores']} cores, {ours['cam']} CAM entries",
    )


def chip() -> Row:
    """The chip-like emulator on the network of sim64, its weights as masks; events spread over their milliseconds."""
    n, seed = 64, 1234
    w_in, w_rec = network(n, 64, 3, 8, seed, 4.0, 2.0)
    weights = np.concatenate([w_in, w_rec])
    made = quantise.fit(np.abs(weights))
    source, target = np.nonzero(made.codes)
    neurons = dpi.Neurons(core=np.zeros(n, np.int64), Iw=made.base * ISCALE)
    routes = dpi.Routes(
        packet_ptr=np.arange(64 + n + 1),
        packet_core=np.zeros(64 + n, np.int64),
        synapse_ptr=np.concatenate([[0], np.cumsum(np.bincount(source, minlength=64 + n))]),
        neuron=target,
        dendrite=np.where(weights[source, target] > 0, 0, 1),
        mask=made.codes[source, target].astype(np.int64),
    )
    step, channel = np.nonzero(raster_of(seed))
    when = step * 1_000_000 + np.random.default_rng(seed).integers(0, 1000, step.size) * 1000
    order = np.lexsort((channel, when))
    given = when[order], channel[order]

    def prepare() -> Callable[[], Any]:
        fresh = dpi.Chip(neurons, routes)
        return lambda: fresh.run(1_000_000_000, *given)

    return Row(
        prepare=prepare,
        facts=lambda result: {"spikes": int(result.spikes.sum()), "synops": int(result.synops.sum())},
        agreement=lambda ours, _: f"{ours['spikes']} spikes in 1 s of model time",
    )


ROWS: dict[str, Callable[[], Row]] = {
    "sim64": lambda: simulation(64, 3, 1234, 2.0),
    "sim1024_5pct": lambda: simulation(1024, 51, 4321, 0.2),
    "alloc256": lambda: allocation(256, 77),
    "alloc960": lambda: allocation(960, 79),
    "quant256": lambda: quantisation(256, 77, 2),
    "map1024": mapping,
    "chip64": chip,
}
LONG: dict[str, Callable[[], Row]] = {"quant1024": lambda: quantisation(1024, 78, 1)}
"""The peer needs many minutes."""
