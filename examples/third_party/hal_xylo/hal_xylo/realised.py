"""What the chip computes with, in the model's units, and everything that it could not keep."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs
import numpy as np
from hal.fit import Finding
from hal.mapping import Losses
from hal.model import Model
from hal.stepping import PerStep, per_step, time_constant
from numpy.typing import NDArray

from hal_xylo import limits
from hal_xylo.storing import Stored

Float = NDArray[np.float64]
Values = dict[tuple[str, str], NDArray[Any]]

KEPT: Final = 1e-6
"""Relative difference up to which a number counts as kept."""
COARSE: Final = 1 / 256
"""Relative difference from which a rounded threshold is a change of the model."""


def values(model: Model, stored: list[Stored], dt_ns: int) -> Values:
    """Weights, thresholds, time constants, and biases and gains that had to change."""
    out: Values = {}
    for s in stored:
        node, numbers = s.layer.node, s.layer.numbers
        shape = node.v_threshold.shape
        out[node.name, "v_threshold"] = (s.threshold / s.scale).reshape(shape)
        constants = {
            "tau_mem": _tau(node.tau_mem, numbers, _keep(s.layer.dash_mem), numbers.decay, dt_ns),
            "tau_syn": _tau(node.tau_syn, numbers, _keep(s.layer.dash_syn), numbers.current_decay, dt_ns),
        }
        for name, tau in constants.items():
            out[node.name, name] = tau.reshape(shape)
        changed = attrs.evolve(node, **{name: tau.reshape(shape) for name, tau in constants.items()})
        there = per_step(changed, model.semantics, dt_ns)
        for name, wanted, given, word in (
            ("r", numbers.gain, there.gain, numbers.rule.gain),
            ("w_in", numbers.current_gain, there.current_gain, numbers.rule.current_gain),
        ):
            # a gain that has the time constant in it is kept by its factor
            if word not in ("one", "1-decay") and not np.allclose(wanted, given, rtol=KEPT, atol=0.0):
                factor = np.ravel(getattr(node, name)) * wanted / given
                out[node.name, name] = factor.reshape(shape)
                changed = attrs.evolve(changed, **{name: factor.reshape(shape)})
        there = per_step(changed, model.semantics, dt_ns)
        out |= _weights(s, there.gain * there.current_gain, out)
        out |= _biases(s)
    return out


def _keep(dash: NDArray[np.int64]) -> Float:
    return np.asarray(1.0 - 2.0 ** -dash.astype(np.float64))


def _tau(given: Any, numbers: PerStep, chip: Float, model: Float, dt_ns: int) -> Float:
    """The time constant that the chip's factor means in the file's unit; as given where that is the model's factor."""
    tau = time_constant(numbers.rule, chip, dt_ns)
    return np.asarray(np.where(np.isclose(chip, model, rtol=1e-9, atol=0.0), np.ravel(given), tau))


def _weights(s: Stored, gain: Float, known: Values) -> Values:
    """Where one weight serves several synapses, the one that is furthest off counts."""
    out: Values = {}
    for k, connection in enumerate(s.layer.inputs):
        key = connection.node.name, "weight"
        wanted = connection.node.weight.ravel().astype(np.float64)
        weight = np.array(out.get(key, known.get(key, wanted))).ravel().astype(np.float64)
        rows = connection.rows
        given = s.drive(k) / (s.scale * s.early(connection) * gain)[rows]
        order = np.argsort(np.abs(given - wanted[connection.label]), kind="stable")
        label, given = connection.label[order], given[order]
        off = np.abs(given - wanted[label]) >= np.abs(weight - wanted)[label]
        weight[label[off]] = given[off]
        out[key] = weight.reshape(connection.node.weight.shape)
    return out


def _biases(s: Stored) -> Values:
    """Every part of a constant drive in the share in which the whole was kept."""
    if not s.layer.bias.any():
        return {}
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(s.layer.bias != 0, s.bias / (s.scale * s.layer.bias), 1.0)
    out: Values = {}
    node = s.layer.node
    if node.v_leak.any():
        out[node.name, "v_leak"] = node.v_leak * share.reshape(node.v_leak.shape)
    for connection in s.layer.inputs:
        bias = getattr(connection.node, "bias", None)
        if bias is not None and bias.size == share.size and bias.any():
            out[connection.node.name, "bias"] = bias * share.reshape(bias.shape)
    return out


# --- what was lost ----------------------------------------------------------------------------------------------------


def losses(stored: list[Stored], realised: Values) -> Losses:
    """One row per number that the chip has otherwise; of weights, those of which nothing is left."""
    groups: list[Any] = []
    for s in stored:
        node = s.layer.node
        for name, reason in (
            ("tau_mem", "decays are by powers of two"),
            ("tau_syn", "decays are by powers of two, and at least 1/2 of a current is lost"),
            ("v_threshold", "thresholds are whole registers"),
            ("v_leak", "biases are whole registers"),
        ):
            groups.append(_rows(node, name, realised, reason))
        for connection in {c.node.name: c for c in s.layer.inputs}.values():
            groups.append(_rows(connection.node, "bias", realised, "biases are whole registers"))
            groups.append(_gone(connection.node, realised))
    return Losses.build(group for group in groups if group is not None)


def _rows(node: Any, name: str, realised: Values, reason: str) -> Any:
    if (node.name, name) not in realised:
        return None
    wanted = np.ravel(getattr(node, name)).astype(np.float64)
    given = np.ravel(realised[node.name, name])
    with np.errstate(invalid="ignore"):
        index = np.flatnonzero(~np.isclose(given, wanted, rtol=KEPT, atol=0.0))
    return node.name, name, index, wanted[index], given[index], reason


def _gone(node: Any, realised: Values) -> Any:
    wanted = node.weight.ravel().astype(np.float64)
    given = np.ravel(realised[node.name, "weight"])
    index = np.flatnonzero((given == 0) & (wanted != 0))
    return node.name, "weight", index, wanted[index], np.zeros(index.size), "rounded to 0"


def findings(stored: list[Stored], realised: Values) -> Iterator[Finding]:
    """What rounding did to the model, in words."""
    for s in stored:
        layer = s.layer
        yield from _about_weights(s, realised)
        wanted, given = layer.threshold, s.threshold / s.scale
        far = np.abs(given - wanted) > COARSE * wanted
        if far.any():
            at = int(np.argmax(np.abs(given / wanted - 1.0)))
            low = " and at least 1" if (s.threshold == 1).any() else ""
            reason = f"thresholds are whole registers{low}: {int(far.sum())} of {layer.size} are off by more than 1/256"
            yield _finding("changed", layer.name, "v_threshold", reason, f"{wanted[at]:g}", f"{given[at]:g}")
        late = not np.all(s.early(layer.inputs[0]) == 1.0) if layer.inputs else False
        if s.registers and late:
            reason = (
                "whole numbers are stored as they are, and the chip decays an event before it uses it: "
                "weights act less the first decay"
            )
            yield _finding("changed", layer.name, "jump", reason, layer.numbers.rule.jump, "before")
        if s.trim.any():
            reason = "biases make up for what decays round away on average; trim=False leaves them out"
            bounds = f"{int(s.trim.min())}..{int(s.trim.max())} of a threshold of {int(np.median(s.threshold))}"
            yield _finding("note", layer.name, "rounding", reason, None, bounds)
        if (np.abs(s.bias) == limits.STATE[1]).any():
            yield _finding("note", layer.name, "bias", "a bias is as large as its register", None, limits.STATE[1])


def _about_weights(s: Stored, realised: Values) -> Iterator[Finding]:
    used = np.zeros(s.layer.size, np.bool_)
    had = np.zeros(s.layer.size, np.bool_)
    for k, connection in enumerate(s.layer.inputs):
        used[connection.rows[s.codes[k] != 0]] = True
        had[connection.rows] = True
    for connection in {c.node.name: c for c in s.layer.inputs}.values():
        node = connection.node
        wanted = node.weight.ravel().astype(np.float64)
        given = np.ravel(realised[node.name, "weight"])
        gone = (given == 0) & (wanted != 0)
        if gone.any():
            largest = float(np.abs(wanted[gone]).max())
            reason = f"{int(gone.sum())} weights of {int(np.count_nonzero(wanted))} are too small for 8 bits"
            yield _finding("changed", node.name, "weight", reason, f"up to {largest:g}", "0")
        rms = float(np.sqrt(np.mean((given - wanted) ** 2)))
        if not s.registers and rms > KEPT * float(np.abs(wanted).max(initial=0.0)):
            reason = "weights are rounded to 8 bits"
            yield _finding("note", node.name, "quantisation", reason, "weights as given", f"rms error {rms:.2g}")
    dead = int((had & ~used).sum())
    if dead:
        reason = f"{dead} of {s.layer.size} neurons have no weight left"
        yield _finding("changed", s.layer.name, "weight", reason, "weights", "none")


def _finding(level: Any, node: str, field: str, reason: str, wanted: Any, realised: Any) -> Finding:
    return Finding(level=level, node=node, field=field, reason=reason, wanted=wanted, realised=realised)
