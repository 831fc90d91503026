"""Layers of a model as registers: which scale, which codes, and which place every neuron gets."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal_xylo import quantise
from hal_xylo.options import XyloMapOptions
from hal_xylo.quantise import FULL, Group
from hal_xylo.reading import Connection, Layer

Float = NDArray[np.float64]
I64 = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Stored:
    """A layer in registers: (n,) arrays.

    first: id of its first neuron, among hidden or output neurons. scale: units of the register per unit of the model.
    bias: of the model; trim: what the register has besides. codes: per connection, one for every entry. registers:
    whether numbers are as the model has them.
    """

    layer: Layer
    first: int
    scale: Float
    shift: int
    threshold: I64
    bias: I64
    trim: I64
    codes: tuple[I64, ...]
    registers: bool

    def drive(self, k: int) -> Float:
        """What an event of each entry of connection k adds to the current."""
        return np.asarray(self.codes[k] * 2.0**self.shift, np.float64)

    def early(self, connection: Connection) -> Float:
        """(n,): see `Layer.early`."""
        return self.layer.early[connection.synapse]

    def matrix(self, k: int) -> csr_array:
        """(target, source): the codes of connection k, zeros left out."""
        entries = self.layer.inputs[k].entries
        # a copy: without its zeros it has other indices
        out = csr_array((self.codes[k], entries.indices, entries.indptr), entries.shape, copy=True)
        out.eliminate_zeros()
        return out


def store(layers: list[Layer], options: XyloMapOptions) -> list[Stored]:
    """All layers in registers, hidden ones in the order of their ids, then outputs."""
    hidden = in_order([layer for layer in layers if not layer.readout])
    outputs = [layer for layer in layers if layer.readout]
    plain = [_group(group, compensated=False) for group in (hidden, outputs)]
    asked = options.quantiser
    if asked == "registers" or (asked == "auto" and all(map(quantise.fits_registers, plain))):
        return [s for group in (hidden, outputs) for s in _stored(group, np.ones(_size(group)), 0)]
    out: list[Stored] = []
    for group in (hidden, outputs):
        scale, shift = quantise.scales(_group(group, compensated=True, biased=asked == "global"), asked)
        out += _stored(group, scale, shift, registers=False, trimmed=asked == "auto" and options.trim)
    return out


def in_order(hidden: list[Layer]) -> list[Layer]:
    """Layers that take input first, those that nothing but outputs hear last: some parts join only the ends."""
    names = {layer.name for layer in hidden}

    def rank(layer: Layer) -> int:
        takes = any(c.source not in names for c in layer.inputs)
        feeds = any(c.source == layer.name for other in hidden if other is not layer for c in other.inputs)
        return 0 if takes and feeds else 1 if takes or feeds else 2

    return sorted(hidden, key=rank)


def unstorable(layers: list[Layer]) -> list[str]:
    """Layers whose numbers are no registers as they stand."""
    return [layer.name for layer in layers if not quantise.is_register(_group([layer], compensated=False))]


def _size(layers: list[Layer]) -> int:
    return sum(layer.size for layer in layers)


def _drives(layer: Layer, connection: Connection, compensated: bool) -> Float:
    """Entries in units of the chip's current, which decays what it has just taken in."""
    if not compensated:
        return np.asarray(connection.entries.data)
    return np.asarray(connection.entries.data * layer.early[connection.synapse][connection.rows])


def _group(layers: list[Layer], *, compensated: bool, biased: bool = False) -> Group:
    """What decides about the scales of neurons that share a shift. biased: biases count as weights."""
    largest, pull, lift, whole, shared = [], [], [], [], []
    for k, layer in enumerate(layers):
        top, up, down, integral = _weights(layer, compensated)
        largest.append(np.maximum(top, np.abs(layer.bias)) if biased else top)
        pull.append(np.sqrt(up + down))
        # both currents together, decayed by the slower of them
        slowest = np.maximum(layer.dash_syn, layer.dash_syn_2 or 0)
        lift.append(np.sqrt(up) * (1.0 - 2.0 ** -slowest.astype(np.float64)))
        whole.append(integral & quantise.is_whole(layer.threshold) & quantise.is_whole(layer.bias))
        shared.append(np.full(layer.size, k if layer.shared else -1))
    if not layers:
        none = np.zeros(0)
        return Group(
            largest=none,
            pull=none,
            lift=none,
            threshold=none,
            bias=none,
            whole=none.astype(bool),
            shared=none.astype(np.int64),
        )
    return Group(
        largest=np.concatenate(largest),
        pull=np.concatenate(pull),
        lift=np.concatenate(lift),
        threshold=np.concatenate([layer.threshold for layer in layers]),
        bias=np.concatenate([layer.bias for layer in layers]),
        whole=np.concatenate(whole),
        shared=np.concatenate(shared),
    )


def _weights(layer: Layer, compensated: bool) -> tuple[Float, Float, Float, NDArray[np.bool_]]:
    """Per neuron: its largest weight, the sums of squares of positive and of negative ones, whether all are whole."""
    n = layer.size
    largest, up, down = np.zeros(n), np.zeros(n), np.zeros(n)
    whole = np.ones(n, np.bool_)
    for source, synapse in dict.fromkeys((c.source, c.synapse) for c in layer.inputs):
        mine = [c for c in layer.inputs if (c.source, c.synapse) == (source, synapse)]
        total = csr_array(mine[0].entries.shape)
        for connection in mine:
            values = _drives(layer, connection, compensated)
            rows = connection.rows
            np.add.at(up, rows, np.maximum(values, 0.0) ** 2)
            np.add.at(down, rows, np.minimum(values, 0.0) ** 2)
            np.logical_and.at(whole, rows, quantise.is_whole(values))
            entries = connection.entries
            total = total + csr_array((np.abs(values), entries.indices, entries.indptr), entries.shape)
        # what is rounded one by one may add up to a little more
        room = FULL / (FULL - 0.5 * (len(mine) - 1))
        largest = np.maximum(largest, room * total.max(axis=1).toarray().ravel())
    return largest, up, down, whole


def _stored(
    layers: list[Layer], scale: Float, shift: int, *, registers: bool = True, trimmed: bool = False
) -> list[Stored]:
    out, first = [], 0
    for layer in layers:
        own = scale[first : first + layer.size]
        codes = tuple(
            quantise.codes(_drives(layer, c, compensated=not registers), own[c.rows], shift) for c in layer.inputs
        )
        threshold = quantise.thresholds(layer.threshold, own)
        trim = quantise.trims(layer.dash_mem, layer.dash_syn, threshold) * trimmed
        out.append(
            Stored(
                layer=layer,
                first=first,
                scale=own,
                shift=shift,
                threshold=threshold,
                bias=quantise.biases(layer.bias, own),
                trim=trim,
                codes=codes,
                registers=registers,
            )
        )
        first += layer.size
    return out
