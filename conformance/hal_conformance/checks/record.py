"""Recording: to disk as to memory, probes that disturb nothing, state variables."""

from __future__ import annotations

from typing import Any

import numpy as np

import hal
from hal.errors import ConfigError
from hal.events import Probe, Signal, events
from hal.fit import Observable
from hal.mapping import Mapping
from hal.recorder import MemoryRecorder
from hal_conformance.context import STEP_NS, STEPS, Context
from hal_conformance.failure import demand
from hal_conformance.raising import naming, raises, refused
from hal_conformance.rulebook import check

DURATION = STEPS * STEP_NS


@check("REC-001", level="silver")
def check_directory(ctx: Context) -> None:
    """Given a directory to record to, when the witness runs, then what lies there equals what memory holds."""
    stimulus = {ctx.witness.input: ctx.stimulus()}
    mapping = ctx.mapping(record=ctx.witness.populations[:-1])
    memory = ctx.run(ctx.loaded(mapping), stimulus, DURATION)
    path = ctx.folder() / "run"
    device = ctx.loaded(mapping)
    stored = ctx.run(device, stimulus, DURATION, to=path)
    read = hal.read_recording(path)
    for what, recording in (("the recording returned", stored), ("the recording read back", read)):
        ctx.equal(f"{what} and the one in memory", recording, memory)
        demand(recording.header.to_json() == memory.header.to_json(), f"{what} has another header")
    fed: Any = read.stimulus[ctx.witness.input]
    demand(np.array_equal(fed, stimulus[ctx.witness.input]), "the stimulus on disk is not what was fed in")
    raises(ConfigError, "recording to a directory that exists", lambda: device.run(stimulus, DURATION, to=path))
    other = ctx.folder() / "other"
    both = {"to": other, "recorder": MemoryRecorder()}
    raises(ConfigError, "`to` and `recorder` at once", lambda: device.run(stimulus, DURATION, **both))  # type: ignore[arg-type]
    demand(not other.exists(), "a refused run left a directory behind")
    demand(device.run_number == 1, f"refused runs were counted: the next is run {device.run_number}")


@check("REC-002", level="silver")
def check_probes(ctx: Context) -> None:
    """Given probes on neurons within, when the witness runs, then they give their spikes and change no other."""
    witness, stimulus = ctx.witness, ctx.stimulus()
    plain = ctx.run(ctx.loaded(), {witness.input: stimulus}, DURATION)
    wanted = witness.answer(stimulus, STEPS)
    for probed in (witness.populations[:1], witness.populations):
        mapping = ctx.mapping(record=probed)
        recording = ctx.run(ctx.loaded(mapping), {witness.input: stimulus}, DURATION)
        given = sorted(recording.spikes)
        demand(given == sorted({witness.output, *probed}), f"with probes on {probed}, spikes are of {given}")
        one, two = (r.spikes[witness.output] for r in (recording, plain))
        demand(one.tobytes() == two.tobytes(), f"probes on {probed} change the Output")
        for name in probed:
            ctx.same("probed", recording.spikes[name], wanted[name], mapping, name)
    error = raises(ConfigError, "a probe on a node that is not there", lambda: ctx.mapping(record=["no such node"]))
    demand("no such node" in str(error), f"the error does not name the node: {error}")


def _sampled(ctx: Context, name: str) -> list[Observable]:
    """The state variables that neurons of this node have."""
    kind = ctx.witness.model.nodes[name].type
    states = [o for o in ctx.spec.observables if o.variable != "spikes" and o.per == "neuron"]
    demand(states, "record.state is declared, and no state variable is among the observables")
    return [o for o in states if not o.types or kind in o.types]


def no_states(ctx: Context) -> None:
    """Without `record.state`, a probe on a state is refused by that word."""
    name = ctx.witness.populations[0]
    refused("record.state", "a probe on v", lambda: ctx.mapping(record=[Probe(name, "v")]))


@check("REC-003", level="silver", requires={"record.state"}, twin=no_states)
def check_states(ctx: Context) -> None:
    """Given a probe on each state variable, when run, then its last value comes, one per neuron, and spikes stay."""
    witness, name = ctx.witness, ctx.witness.populations[0]
    size = witness.model.nodes[name].size
    stimulus = {witness.input: events([0, STEP_NS], [1, 2])}
    plain = ctx.run(ctx.loaded(), stimulus, DURATION)
    sampled = []
    observables = _sampled(ctx, name)
    for observable in observables:
        variable, most = observable.variable, observable.at_once or size
        moved: list[float] = []
        for first in range(0, size, most):
            mapping = _probed(ctx, Probe(name, variable, indices=range(first, min(first + most, size))))
            if mapping is None:
                break
            device = ctx.loaded(mapping)
            rest = ctx.run(device, {}, STEP_NS).traces[name, variable]
            device.load(mapping)
            recording = ctx.run(device, stimulus, DURATION)
            _one_row(variable, recording.traces[name, variable], min(most, size - first))
            one, two = (r.spikes[witness.output] for r in (recording, plain))
            demand(one.tobytes() == two.tobytes(), f"a probe on {variable} changes the spikes")
            moved += np.abs(recording.traces[name, variable].values[0] - rest.values[0]).tolist()
        else:
            sampled.append(variable)
            if variable == "v":
                # where reading is noisy, by much more than the others
                least = 0.0 if ctx.deterministic else max(moved) / 4
                found = np.flatnonzero(np.array(moved) > least).tolist()
                # neuron 3 is excited and then inhibited as much, which leaves something where neurons forget between
                same = found == [1, 2] or (not witness.exact and found == [1, 2, 3])
                demand(same, f"events that leave neurons 1 and 2 half way moved v of {found}")
    demand(sampled or not observables, f"record.state is declared, and every probe on {name!r} is refused")
    ctx.measure("sampled", ", ".join(sampled) or "none")


def _one_row(variable: str, trace: Signal, size: int) -> None:
    """Fail unless there is one row for the end of the run."""
    demand(trace.values.shape == (1, size), f"{variable}: values have shape {trace.values.shape}, not (1, {size})")
    demand(trace.t.tolist() == [DURATION - 1], f"{variable}: the last state is stamped {trace.t.tolist()}")
    demand(np.isfinite(trace.values).all(), f"{variable}: not all values are finite")


def _probed(ctx: Context, probe: Probe) -> Mapping | None:
    """The witness with that probe; None where it is refused by name (a variable this neuron lacks, a period)."""
    try:
        return ctx.mapping(record=[probe])
    except ConfigError as error:
        naming(error, repr(probe.node))
        return None


@check("REC-004", level="silver", requires={"record.state"}, twin=no_states)
def check_periods(ctx: Context) -> None:
    """Given a probe with a period, when the device takes it, then there is one sample at each multiple of it."""
    witness, name = ctx.witness, ctx.witness.populations[0]
    taken = []
    for observable in _sampled(ctx, name):
        period = max(4 * STEP_NS, observable.period_ns or 0)
        neurons = (0, 2)[: observable.at_once]
        probe = Probe(name, observable.variable, indices=neurons, every_ns=period)
        mapping = _probed(ctx, probe)
        if mapping is None:
            continue
        taken.append(observable.variable)
        recording = ctx.run(ctx.loaded(mapping), {witness.input: ctx.stimulus()}, DURATION)
        trace = recording.traces[name, observable.variable]
        wanted = list(range(0, DURATION, period))
        demand(
            trace.t.tolist() == wanted,
            f"{observable.variable} every {period} ns was taken, and gives samples at {trace.t.tolist()[:4]}... "
            f"({len(trace.t)} of {len(wanted)})",
        )
        told = f"neurons {neurons} were asked for; values are {trace.values.shape}"
        demand(trace.values.shape == (len(wanted), len(neurons)), told)
    ctx.measure("sampled", ", ".join(taken) or "none")
