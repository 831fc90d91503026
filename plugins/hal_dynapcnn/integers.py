"""From a layer's real numbers to a core's integers, and what that costs: findings, realised values, losses."""

from __future__ import annotations

from typing import Any, Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.fit import Finding
from hal.mapping import Losses
from hal_dynapcnn import chips
from hal_dynapcnn.layers import Layer
from hal_dynapcnn.quantise import NoteCode, Quantised, keep_integers, quantise, quantise_as_sinabs

NOTES: dict[NoteCode, tuple[Literal["changed", "note"], str]] = {
    NoteCode.WEIGHTS_ALL_ZERO: ("changed", "every weight became 0: the layer is dead"),
    NoteCode.WEIGHTS_UNDERFLOW: ("changed", "weights too small for 8 bits became 0"),
    NoteCode.BIAS_ALL_ZERO: ("changed", "every bias became 0"),
    NoteCode.SCALE_LIMITED: ("note", "a 16-bit number keeps the weights from using their 8 bits"),
    NoteCode.THRESHOLD_HIGH_RAISED: ("changed", "a positive threshold rounded to 0 and was set to 1"),
    NoteCode.THRESHOLD_HIGH_ZERO: ("changed", "a positive threshold rounded to 0: every update fires"),
    NoteCode.THRESHOLD_LOW_ZERO: ("changed", "a lower bound of 0 does not work on the chip (datasheet 3.2.4.6.3)"),
    NoteCode.THRESHOLD_LOW_CLIPPED: ("changed", "the lower bound was moved to the nearest one that can be stored"),
}

MOVED = {
    NoteCode.THRESHOLD_HIGH_RAISED,
    NoteCode.THRESHOLD_HIGH_ZERO,
    NoteCode.THRESHOLD_LOW_ZERO,
    NoteCode.THRESHOLD_LOW_CLIPPED,
}
"""What is lost of a whole population."""

PARAMETERS = {"weights": "weight", "threshold_high": "v_threshold", "threshold_low": "v_min"}
"""The quantiser's names and the model's."""


def quantised_layer(layer: Layer, rule: str, findings: list[Finding]) -> Quantised | None:
    """The integers of a layer by one of the rules of `SpeckMapOptions.quantisation`; None when that refuses."""
    bias = layer.bias if layer.bias is not None and layer.bias.any() else None
    state = layer.start.reshape(layer.out_shape) if layer.start.any() else None
    args = (layer.weights, bias, layer.threshold, layer.threshold_low, state)
    if rule == "keep_integers":
        kept = keep_integers(*args)
        if kept is None:
            findings += _no_integers(layer)
        made = kept
    elif rule == "sinabs":
        made = quantise_as_sinabs(layer.weights, layer.bias, layer.threshold, layer.threshold_low, state)
        if made.threshold_low == chips.THRESHOLD_LOW_FORBIDDEN:
            low = NoteCode.THRESHOLD_LOW_ZERO
            notes = [attrs.evolve(n, realised=-1 / made.scale) if n.code is low else n for n in made.notes]
            made = attrs.evolve(made, threshold_low=-1, notes=tuple(notes))
    else:
        made = quantise(*args)
    if made is not None:
        _about_quantisation(layer, made, findings)
    return made


def _no_integers(layer: Layer) -> list[Finding]:
    """What keep_integers cannot keep: a finding per parameter."""
    states = (-32768, 32767)
    given: list[tuple[str, str, Any, tuple[int, int]]] = [
        (layer.weight_node, "weight", layer.weights, (-128, 127)),
        (layer.weight_node, "bias", layer.bias if layer.bias is not None else 0, states),
        (layer.population, "v_threshold", layer.threshold, states),
        (layer.population, "v_min", 0 if layer.threshold_low is None else layer.threshold_low, states),
        (layer.population, "start_state", layer.start, states),
    ]
    said = []
    for node, field, values, (low, high) in given:
        array = np.ravel(values)
        bad = array[(array != np.round(array)) | (array < low) | (array > high)]
        if bad.size:
            reason = f"quantisation='keep_integers', and {bad.size} values are no integers in range"
            limit = f"integers {low}..{high}"
            hint = f"{limit}, or quantisation='default', which scales"
            wanted = float(bad[0])
            said.append(
                Finding(
                    level="refused", node=node, field=field, reason=reason, wanted=wanted, realised=limit, hint=hint
                )
            )
    return said


def _about_quantisation(layer: Layer, made: Quantised, findings: list[Finding]) -> None:
    for note in made.notes:
        level, reason = NOTES[note.code]
        field = PARAMETERS.get(note.parameter, note.parameter)
        node = layer.population if field.startswith("v_") else layer.weight_node
        count = f" ({note.count})" if note.count > 1 else ""
        findings.append(
            Finding(
                level=level,
                node=node,
                field=field,
                reason=reason + count,
                wanted=f"{note.wanted:g}",
                realised=f"{note.realised:g}",
            )
        )
    if made.scale != 1.0:
        findings.append(
            Finding(
                level="note",
                node=layer.weight_node,
                field="quantisation",
                reason=f"stored as round({made.scale:.6g} * weight), threshold {made.threshold_high}",
                wanted=f"rms weight {float(np.sqrt(np.mean(layer.weights**2))):.4g}",
                realised=f"rms error {made.weight_rms_error:.2g}",
            )
        )


def realised(layers: list[Layer], quantised: list[Quantised]) -> dict[tuple[str, str], NDArray[Any]]:
    """What the chip computes with, in model units: the factors folded into the weights taken out again."""
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for layer, q in zip(layers, quantised, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.where(layer.factor == 0, 0.0, q.realised_weights / layer.factor)
        out[layer.weight_node, "weight"] = layer.to_model(weights)
        if layer.bias is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                unit = np.where(layer.bias == 0, 1.0, layer.model_bias / layer.bias)
            out[layer.weight_node, "bias"] = q.realised_bias * unit
        out[layer.population, "v_threshold"] = np.full(layer.neuron_shape, q.realised_threshold_high)
        if layer.threshold_low is not None:
            out[layer.population, "v_min"] = np.asarray(q.realised_threshold_low)
    return out


def losses(layers: list[Layer], quantised: list[Quantised]) -> Losses:
    """Weights and biases that became 0, thresholds that had to be moved."""
    groups: list[Any] = []
    for layer, q in zip(layers, quantised, strict=True):
        wanted = layer.to_model(
            np.where(layer.factor == 0, 0.0, layer.weights / np.where(layer.factor == 0, 1, layer.factor))
        )
        kept = layer.to_model(q.weights.astype(np.float64))
        gone = np.flatnonzero((wanted != 0) & (kept == 0))
        groups.append((layer.weight_node, "weight", gone, wanted.ravel()[gone], np.zeros(gone.size), "rounded to 0"))
        if layer.bias is not None:
            gone = np.flatnonzero((layer.bias != 0) & (q.bias == 0))
            groups.append(
                (layer.weight_node, "bias", gone, layer.model_bias[gone], np.zeros(gone.size), "rounded to 0")
            )
        for note in q.notes:
            if note.code in MOVED:
                size = int(np.prod(layer.neuron_shape))
                index, wanted, realised_ = np.arange(size), np.full(size, note.wanted), np.full(size, note.realised)
                groups.append(
                    (layer.population, PARAMETERS[note.parameter], index, wanted, realised_, NOTES[note.code][1])
                )
    return Losses.build(groups)
