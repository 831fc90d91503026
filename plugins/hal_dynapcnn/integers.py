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
from hal_dynapcnn.merging import Kernel
from hal_dynapcnn.path import Float
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
        *((k.node or layer.population, "weight", k.part(layer.weights), (-128, 127)) for k in layer.kernels),
        (layer.bias_node, "bias", layer.bias if layer.bias is not None else 0, states),
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
        named = {"weight": layer.weight_node, "bias": layer.bias_node}
        node = named.get(field, layer.population if field.startswith("v_") else layer.weight_node)
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


def identities(layers: list[Layer], quantised: list[Quantised], findings: list[Finding]) -> None:
    """Say where a projection without weights is not exactly 1: the model has no number to realise that by."""
    for layer, q in zip(layers, quantised, strict=True):
        for kernel in layer.kernels:
            if kernel.node:
                continue
            wanted = np.diagonal(kernel.part(layer.weights)[:, :, 0, 0])
            stored = np.diagonal(kernel.part(q.realised_weights)[:, :, 0, 0])
            worst = int(np.argmax(np.abs(stored - wanted)))
            if not np.isclose(stored[worst], wanted[worst], rtol=1e-9, atol=0):
                findings.append(
                    Finding(
                        level="changed",
                        node=layer.population,
                        field="identity",
                        reason="spikes that come without weights are added by a stored weight, which is rounded",
                        wanted=f"{wanted[worst]:g}",
                        realised=f"{stored[worst]:g}",
                    )
                )


@attrs.frozen(eq=False)
class _Stored:
    """A weight node as it is stored in one place."""

    layer: Layer
    kernel: Kernel
    q: Quantised

    @property
    def unit(self) -> Float:
        """Stored number per number of the model, (f_out, 1, 1, 1)."""
        return self.kernel.factor * self.q.scale

    @property
    def fineness(self) -> float:
        """How finely it stores the model's weights."""
        return float(np.abs(self.unit).mean())

    @property
    def weights(self) -> NDArray[np.float64]:
        """What the core computes with, in the model's units and shape."""
        codes = self.kernel.part(self.q.weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.kernel.to_model(np.where(self.unit == 0, 0.0, codes / self.unit))

    @property
    def model(self) -> NDArray[np.float64]:
        """What the model has, as far as the factor lets it be seen."""
        factor = self.kernel.factor
        given = self.kernel.part(self.layer.weights)
        return self.kernel.to_model(np.where(factor == 0, 0.0, given / np.where(factor == 0, 1, factor)))


def _stored(layers: list[Layer], quantised: list[Quantised]) -> dict[str, list[_Stored]]:
    """Every place of every weight node."""
    places: dict[str, list[_Stored]] = {}
    for layer, q in zip(layers, quantised, strict=True):
        for kernel in layer.kernels:
            if kernel.node:
                places.setdefault(kernel.node, []).append(_Stored(layer, kernel, q))
    return places


def copies(layers: list[Layer], quantised: list[Quantised], findings: list[Finding]) -> None:
    """Say where the places of one weight node round to different numbers: `realised` holds the finest."""
    for node, places in _stored(layers, quantised).items():
        finest = max(places, key=lambda place: place.fineness)
        far = max(float(np.abs(place.weights - finest.weights).max()) for place in places)
        if far > 1e-9 * max(float(np.abs(finest.weights).max()), 1e-300):
            findings.append(
                Finding(
                    level="note",
                    node=node,
                    field="realised",
                    reason=f"its {len(places)} places on the chip round differently; realised is the finest of them",
                    wanted="one value",
                    realised=f"up to {far:.3g} apart",
                )
            )


def realised(layers: list[Layer], quantised: list[Quantised]) -> dict[tuple[str, str], NDArray[Any]]:
    """What the chip computes with, in model units: the factors folded into the weights taken out again.

    Of a node stored in several places, the one that stores it most finely.
    """
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for node, places in _stored(layers, quantised).items():
        finest = max(places, key=lambda place: place.fineness)
        out[node, "weight"] = finest.weights
    fineness: dict[str, float] = {}
    for layer, q in zip(layers, quantised, strict=True):
        if layer.bias is not None:
            for bias, values in zip(layer.biases, _realised_biases(layer, q), strict=True):
                fine = float(np.abs(bias.factor).mean()) * q.scale
                if fine > fineness.get(bias.node, -1.0):
                    fineness[bias.node], out[bias.node, "bias"] = fine, values
        out[layer.population, "v_threshold"] = np.full(layer.neuron_shape, q.realised_threshold_high)
        if layer.threshold_low is not None:
            out[layer.population, "v_min"] = np.asarray(q.realised_threshold_low)
    return out


def _realised_biases(layer: Layer, q: Quantised) -> list[NDArray[np.float64]]:
    """Biases in model units whose sum is what the core adds: what rounding moves, the largest of a feature takes."""
    parts = np.array([bias.values * bias.factor for bias in layer.biases])
    largest = np.abs(parts).argmax(axis=0), np.arange(parts.shape[1])
    others = parts.sum(axis=0) - parts[largest]
    parts[largest] = q.realised_bias - others
    factors = [bias.factor for bias in layer.biases]
    return [np.where(f == 0, 0.0, part / np.where(f == 0, 1, f)) for part, f in zip(parts, factors, strict=True)]


def losses(layers: list[Layer], quantised: list[Quantised]) -> Losses:
    """Weights and biases that became 0, thresholds that had to be moved. Per place where a node has several."""
    groups: list[Any] = []
    for node, places in _stored(layers, quantised).items():
        for place in places:
            wanted = place.model.ravel()
            gone = np.flatnonzero((wanted != 0) & (place.weights.ravel() == 0))
            reason = "rounded to 0"
            if len(places) > 1:
                sources = [feed.source for feed in place.layer.feeds if feed.kernel is place.kernel]
                reason += f" for spikes of {', '.join(sources)} to {place.layer.population}"
            groups.append((node, "weight", gone, wanted[gone], np.zeros(gone.size), reason))
    for layer, q in zip(layers, quantised, strict=True):
        if layer.bias is not None:
            gone = np.flatnonzero((layer.bias != 0) & (q.bias == 0))
            for bias, values in zip(layer.biases, _realised_biases(layer, q), strict=True):
                moved = gone[(values != bias.values)[gone]]
                groups.append((bias.node, "bias", moved, bias.values[moved], values[moved], "rounded to 0"))
        for note in q.notes:
            if note.code in MOVED:
                size = int(np.prod(layer.neuron_shape))
                index, wanted, realised_ = np.arange(size), np.full(size, note.wanted), np.full(size, note.realised)
                groups.append(
                    (layer.population, PARAMETERS[note.parameter], index, wanted, realised_, NOTES[note.code][1])
                )
    return Losses.build(groups)
