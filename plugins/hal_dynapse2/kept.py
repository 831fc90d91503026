"""What became of the model's numbers: codes set by hand, findings, losses, and what the chip computes with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingABC
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.flowing import response
from hal.mapping import Losses
from hal.model import Model
from hal.notes import Notes
from hal.stepping import time_constant
from hal_dynapse2.biases import Note, Verdict
from hal_dynapse2.cells import Cells
from hal_dynapse2.options import Dynapse2MapOptions
from hal_dynapse2.parameters import SIMULATOR_NAMES
from hal_dynapse2.rows import core_name
from hal_dynapse2.synapses import Label, Synapses

if TYPE_CHECKING:
    from hal_dynapse2.mapper import Settled

Ints = NDArray[np.int64]
Float = NDArray[np.float64]

TAUS: Final = {SIMULATOR_NAMES["Itau_mem"]: "tau_mem", SIMULATOR_NAMES["Itau_ampa"]: "tau_syn",
               SIMULATOR_NAMES["Itau_gaba"]: "tau_syn"}  # fmt: skip
"""Biases whose end means that no time constant is as long or short."""
CLOSE: Final = 0.01
"""Relative error from which a time constant's rounding is told."""


def forced(found: Synapses, options: Dynapse2MapOptions, notes: Notes) -> Ints:
    """(m,) codes set by hand, -1 elsewhere."""
    codes = np.full(found.source.size, -1, np.int64)
    by_name: dict[str, list[Label]] = {}
    for label in found.labels:
        by_name.setdefault(label.node.name, []).append(label)
    for name, pairs in options.codes.items():
        if name not in by_name:
            notes.refuse(
                name, "codes", "no weights of that name whose codes could be set", hint="a Linear or Conv node"
            )
            continue
        size = by_name[name][0].node.weight.size
        for index, code in pairs:
            if index >= size:
                notes.refuse(name, "codes", "no such weight", wanted=index, limit=f"0..{size - 1}")
                continue
            hits = [label.first + np.flatnonzero(label.weight == index) for label in by_name[name]]
            if not any(hit.size for hit in hits):
                hint = "give the model a weight other than 0 there: its sign says which dendrite it is for"
                notes.refuse(name, "codes", f"weight {index} is 0, so it has no dendrite", wanted=code, hint=hint)
            for hit in hits:
                codes[hit] = code
    return codes


# --- findings ---------------------------------------------------------------------------------------------------------


def about(cells: Sequence[Cells], settled: Settled, found: Synapses, by_hand: Ints, notes: Notes) -> None:
    """What biases and masks could not keep. by_hand: codes as `forced` gives them."""
    starts = np.concatenate([[0], np.cumsum([c.size for c in cells])])
    for c, start in zip(cells, starts, strict=False):
        on = np.unique(settled.of_neuron[start : start + c.size])
        for k in on.tolist():
            for note in settled.cores[k].notes:
                _beyond(c, note, core_name(int(settled.numbers[k])), notes)
        _rounded(c, settled.of_neuron[start : start + c.size], settled, notes)
    lost = (settled.masks == 0).all(axis=1) & (by_hand < 0)
    for name, rows in [*((label.node.name, label.rows) for label in found.labels), *found.unlabelled]:
        gone = int(lost[rows].sum())
        if gone:
            worst = float(np.abs(found.area[rows][lost[rows]]).max())
            reason = f"connections too weak for four base currents became none ({gone})"
            notes.say("changed", name, "weight", reason, f"{worst:.3g} s under the current", 0)
        chosen = int((by_hand[rows] >= 0).sum())
        if chosen:
            notes.say("changed", name, "weight", f"codes set by hand ({chosen})", "weights as given", "codes")
        over = settled.clipped[rows] & (by_hand[rows] < 0)
        if over.any():
            strongest = int(np.argmax(np.abs(found.area[rows]) * over))
            wanted, made = float(np.abs(found.area[rows])[strongest]), float(settled.areas[rows][strongest])
            reason = f"connections stronger than any base current were weakened ({int(over.sum())})"
            notes.say("changed", name, "weight", reason, f"{wanted:.3g} s under the current", f"{made:.3g} s")
    for k, core in enumerate(settled.cores):
        if core.error:
            targets = settled.of_neuron[found.target] == k
            names = sorted({label.node.name for label in found.labels if targets[label.rows].any()})
            for name in names:
                reason = f"4-bit masks over the four base currents of {core_name(int(settled.numbers[k]))}"
                error = f"rms error {100 * core.error:.2g} %"
                notes.say("note", name, "quantisation", reason, "weights as given", error)


def _beyond(c: Cells, note: Note, place: str, notes: Notes) -> None:
    words = {Verdict.SATURATED: "is more than the bias generator gives", Verdict.ZERO: "cannot be zero"}
    text = f"{note.parameter} of {place} {words.get(note.verdict, 'is less than the bias generator gives')}"
    wanted, realised = f"{note.wanted:.3g} A", f"{note.actual:.3g} A"
    if note.parameter in TAUS:
        notes.approximated("time_constants", c.name, TAUS[note.parameter], text, wanted, realised)
    else:
        notes.say("changed", c.name, note.parameter, text, wanted, realised)


def _rounded(c: Cells, of: Ints, settled: Settled, notes: Notes) -> None:
    realised = {
        "tau_mem": [core.tau_mem for core in settled.cores],
        "tau_syn": [core.tau_syn[0] for core in settled.cores],
    }
    for field, values in realised.items():
        made = np.array(values)[of]
        wanted = getattr(c, field)
        error = np.abs(made / wanted - 1)
        if error.max() > CLOSE:
            worst = int(np.argmax(error))
            notes.say(
                "note", c.name, field, "the nearest that a bias gives", f"{wanted[worst]:.4g} s", f"{made[worst]:.4g} s"
            )


# --- losses -----------------------------------------------------------------------------------------------------------


def losses(
    cells: Sequence[Cells],
    found: Synapses,
    settled: Settled,
    kept: Ints,
    monitored: NDArray[np.bool_],
    made: MappingABC[tuple[str, str], NDArray[Any]],
) -> Losses:
    """Weights without a connection or weakened, and neurons without a part in the network. made: of `realised`."""
    lost = (settled.masks == 0).all(axis=1)
    groups: list[Any] = []
    for label in found.labels:
        gone = np.unique(label.weight[lost[label.rows]])
        wanted = label.node.weight.ravel()[gone].astype(np.float64)
        groups.append((label.node.name, "weight", gone, wanted, np.zeros(gone.size), "code 0: no connection"))
        weak = np.unique(label.weight[settled.clipped[label.rows]])
        wanted, left = (
            np.ravel(w)[weak].astype(np.float64) for w in (label.node.weight, made[label.node.name, "weight"])
        )
        groups.append((label.node.name, "weight", weak, wanted, left, "weakened: no base current is as strong"))
    for name, index, reason, wanted in _apart(cells, found, kept, monitored):
        groups.append((name, "neuron", index, wanted, np.zeros(index.size), reason))
    return Losses.build(groups)


def _apart(
    cells: Sequence[Cells], found: Synapses, kept: Ints, monitored: NDArray[np.bool_]
) -> Iterator[tuple[str, Ints, str, Float]]:
    """(population, neurons, why, connections in the model) of neurons that are silent, unreachable or unheard."""
    n = sum(c.size for c in cells)
    drive = np.concatenate([c.drive > 0 for c in cells])
    into = np.bincount(found.target, minlength=n)
    source, target = found.source[kept], found.target[kept]
    into_kept = np.bincount(target, minlength=n)
    outward = found.source[found.source >= found.n_inputs] - found.n_inputs
    out, out_kept = (
        np.bincount(outward, minlength=n),
        np.bincount(source[source >= found.n_inputs] - found.n_inputs, minlength=n),
    )
    reached = _reached(found.n_inputs, n, source, target, found.area[kept] > 0, drive)
    first = 0
    for c in cells:
        mine = slice(first, first + c.size)
        first += c.size
        silent = (into_kept[mine] == 0) & ~drive[mine]
        orphan = (out_kept[mine] == 0) & ~monitored[mine]
        for reason, hit, counts in (
            ("silent: it has no connection into it in the model", silent & (into[mine] == 0), into[mine]),
            ("silent: no connection into it is left", silent & (into[mine] > 0), into[mine]),
            ("unreachable: nothing that excites it is reached from an Input", ~silent & ~reached[mine], into[mine]),
            ("orphan: it reaches no neuron in the model, and is not recorded", orphan & (out[mine] == 0), out[mine]),
            ("orphan: no connection out of it is left, and it is not recorded", orphan & (out[mine] > 0), out[mine]),
        ):
            if hit.any():
                yield c.name, np.flatnonzero(hit), reason, counts[hit].astype(np.float64)


def _reached(
    n_in: int, n: int, source: Ints, target: Ints, excites: NDArray[np.bool_], drive: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """(n,) neurons that some channel or driven neuron can excite, over any number of neurons."""
    active = np.concatenate([np.ones(n_in, bool), drive])
    source, target = source[excites], target[excites]
    while True:
        new = target[active[source] & ~active[n_in + target]]
        if not new.size:
            return active[n_in:]
        active[n_in + new] = True


# --- realised ---------------------------------------------------------------------------------------------------------


def realised(
    model: Model, cells: Sequence[Cells], found: Synapses, settled: Settled, options: Dynapse2MapOptions
) -> dict[tuple[str, str], NDArray[Any]]:
    """Time constants, weights, drives and lower bounds in the model's units.

    A weight that makes several synapses (of a convolution) on cores of different base currents is their mean.
    """
    out: dict[tuple[str, str], NDArray[Any]] = {}
    per_weight: dict[str, Float] = {}
    start = 0
    for c in cells:
        node: Any = model.nodes[c.name]
        of = settled.of_neuron[start : start + c.size]
        made = _time_constants(model, node, [settled.cores[k] for k in of.tolist()])
        for parameter, values in made.items():
            out[c.name, parameter] = values.reshape(getattr(node, parameter).shape)
        slower = attrs.evolve(node, **{parameter: out[c.name, parameter] for parameter in made})
        v_reset = np.asarray(node.v_reset, np.float64).ravel()
        threshold = np.asarray(node.v_threshold, np.float64).ravel() - v_reset
        answer = response(slower, model.semantics, model.semantics.dt_ns, options.synapse_s)
        per_weight[c.name] = answer.area / threshold
        out[c.name, "v_min"] = v_reset.reshape(node.v_threshold.shape)
        drive = np.where(c.drive > 0, np.array([core.drive for core in settled.cores])[of], 0.0)
        # a bias adds up over the time constants that are realised
        before = response(node, model.semantics, model.semantics.dt_ns, options.synapse_s).steady
        again = np.divide(before, answer.steady, out=np.ones_like(before), where=answer.steady != 0)
        _drives(c, node, drive / np.where(c.drive > 0, c.drive, 1.0), again, out)
        start += c.size
    area = np.sign(found.area) * settled.areas
    starts = {c.name: int(s) for c, s in zip(cells, np.cumsum([0, *(c.size for c in cells)]), strict=False)}
    sums: dict[str, tuple[Any, Float, Ints]] = {}
    for label in found.labels:
        target = found.target[label.rows] - starts[label.target]
        unit = per_weight[label.target][target]
        # a neuron whose input is multiplied by 0 has no use for any weight
        values = np.divide(area[label.rows], unit, out=np.zeros_like(unit), where=unit != 0)
        node, total, count = sums.setdefault(
            label.node.name, (label.node, np.zeros(label.node.weight.size), np.zeros(label.node.weight.size, np.int64))
        )
        np.add.at(total, label.weight, values)
        np.add.at(count, label.weight, 1)
    for name, (node, total, count) in sums.items():
        given = np.asarray(node.weight, np.float64).ravel()
        out[name, "weight"] = np.where(count > 0, total / np.maximum(count, 1), given).reshape(node.weight.shape)
    return out


def _time_constants(model: Model, node: Any, cores: Sequence[Any]) -> dict[str, Float]:
    """By parameter, in the model's units."""
    membrane = "tau" if isinstance(node, nodes.LIF) else "tau_mem"
    seconds = {membrane: np.array([core.tau_mem for core in cores])}
    if not isinstance(node, nodes.LIF):
        seconds["tau_syn"] = np.array([core.tau_syn[0] for core in cores])
    rule, dt_ns = model.semantics.rule(node), model.semantics.dt_ns
    if dt_ns is None:
        unit = {"s": 1.0, "ms": 1e-3}[rule.tau_unit]
        return {name: values / unit for name, values in seconds.items()}
    made = {name: time_constant(rule, np.exp(-dt_ns * 1e-9 / values), dt_ns) for name, values in seconds.items()}
    if "tau_syn" in made:
        # a jump stays one
        given = response(node, model.semantics, dt_ns, 1.0)
        if given.jump:
            del made["tau_syn"]
    return made


def _drives(c: Cells, node: Any, share: Float, again: Float, out: dict[tuple[str, str], NDArray[Any]]) -> None:
    """Leak and biases, all scaled as the direct current was; the bias of a kernel's channel by the mean of its neurons.

    share: (n,) of the drive that is realised. again: (n,) by how much more bias the same drive takes.
    """
    v_reset = np.asarray(node.v_reset, np.float64).ravel()
    leak = np.asarray(node.v_leak, np.float64).ravel() - v_reset
    if leak.any():
        out[c.name, "v_leak"] = (v_reset + leak * share).reshape(node.v_leak.shape)
    for p in c.inputs:
        last: Any = p.path[-1] if p.path else None
        if p.bias is not None and isinstance(last, nodes.Affine | nodes.Conv1d | nodes.Conv2d) and np.any(last.bias):
            scale = (share * again).reshape(np.size(last.bias), -1).mean(axis=1)
            out[last.name, "bias"] = (np.ravel(last.bias) * scale).reshape(last.bias.shape)


def latency(model: Model, cells: Sequence[Cells], output: str) -> int:
    """Of an Output, ns: of the populations that feed it, the latest."""
    sources = {p.source for p in model.projections() if p.target == output}
    dt_ns = model.semantics.dt_ns or 0
    return max((c.latency * dt_ns // 2 for c in cells if c.name in sources), default=0)
