"""One node on its way from a file to a typed record: value checks, the shape it asks for, the shape it gives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs
import numpy as np

from hal.nir.raw import MAX_RANK, OPTIONAL, Notebook, RawNode, place
from hal.nir.shapes import Pads, ShapeError, conv_output, explicit_padding, flatten_output, pool_output, spread
from hal.nodes import PRIMITIVES, Array, Node, Shape

MAX_NODE_SIZE: Final = 2**25
"""Elements of a node's input or output: 33 million, more than any published chip has neurons."""
MAX_BROADCAST_BYTES: Final = 2**28
"""Memory that scalar parameters of one node may grow to when broadcast."""

_ABOVE_ZERO: Final = {"tau", "tau_syn", "tau_mem", "v_threshold", "threshold"}
_NOT_NEGATIVE: Final = {"delay"}
_DENSE: Final = ("Affine", "Linear")
_CONVS: Final = {"Conv1d": 1, "Conv2d": 2}
_POOLS: Final = ("SumPool2d", "AvgPool2d")
_ENDS: Final = ("Input", "Output")


@attrs.define(kw_only=True, eq=False)
class Draft:
    """A node whose values are good and whose shapes may still be open.

    arrays, ints: its parameters. port: an Input or Output of a sub-graph, which vanishes once shapes are known.
    """

    name: str
    type: str
    arrays: dict[str, Array]
    ints: dict[str, tuple[int, ...]]
    pads: Pads = ()
    metadata: Mapping[str, Any]
    port: bool = False
    input_shape: Shape | None = None
    output_shape: Shape | None = None

    @property
    def elementwise(self) -> bool:
        """Whether all arrays have the shape of the node: neurons, Scale, Threshold, Delay."""
        return self.type not in (*_DENSE, *_CONVS, *_POOLS, *_ENDS, "Flatten")

    def wanted(self) -> Shape | None:
        """The input shape its own values ask for; None where the neighbours decide."""
        if self.type in _ENDS:
            return self.ints["shape"]
        if self.type in _DENSE:
            weight = self.arrays["weight"].shape
            return (*weight[:-2], weight[-1])
        if self.type == "Flatten":
            return self.ints.get("input_type")
        if self.type in _CONVS and "input_shape" in self.ints:
            return (self.arrays["weight"].shape[1] * self.ints["groups"][0], *self.ints["input_shape"])
        if self.elementwise:
            return next((array.shape for array in self.arrays.values() if array.size > 1), None)
        return None

    def rank(self) -> int | None:
        """Number of input axes, where that at least is known."""
        wanted = self.wanted()
        if wanted is not None:
            return len(wanted)
        return _CONVS[self.type] + 1 if self.type in _CONVS else 3 if self.type in _POOLS else None

    def give(self, shape: Shape) -> Shape:
        """The output shape for an input shape. Raises ShapeError where there is none."""
        if self.type in _DENSE:
            weight = self.arrays["weight"].shape
            return (*weight[:-2], weight[-2])
        if self.type in _CONVS:
            weight = self.arrays["weight"].shape
            return conv_output(
                shape, weight, self.ints["stride"], self.pads, self.ints["dilation"], self.ints["groups"][0]
            )
        if self.type in _POOLS:
            return pool_output(shape, self.ints["kernel_size"], self.ints["stride"], self.ints["padding"])
        if self.type == "Flatten":
            return flatten_output(shape, self.ints["start_dim"][0], self.ints["end_dim"][0])
        return shape

    def take(self, shape: Shape, book: Notebook, source: str = "") -> bool:
        """Fix the input shape, and with it the output shape; False (and a fault) where that is impossible.

        source: the node that gives this shape, for the message.
        """
        try:
            output = self.give(shape)
        except ShapeError as fault:
            what = f"{fault.what}; {source!r} gives {shape}" if source else fault.what
            book.fault(what, place(self.name, fault.field), fault.value, fault.limit, fault.hint)
            return False
        for side, sides in (("input", shape), ("output", output)):
            if math.prod(sides) > MAX_NODE_SIZE:
                book.fault(f"the {side} shape has too many elements", place(self.name), sides, MAX_NODE_SIZE)
                return False
        self.input_shape, self.output_shape = shape, output
        return True


def draft(name: str, raw: RawNode, port: bool, book: Notebook) -> Draft | None:
    """Check the values of a node; None (and faults) when they cannot be used."""
    before = len(book.problems)
    arrays = {key: value for key, value in raw.fields.items() if isinstance(value, np.ndarray)}
    ints = {key: value for key, value in raw.fields.items() if isinstance(value, tuple)}
    for key, array in arrays.items():
        _check_values(name, key, array, book)
    made = Draft(name=name, type=raw.type, arrays=arrays, ints=ints, metadata=raw.metadata, port=port)
    try:
        if raw.type in _DENSE:
            _settle_dense(made, book)
        elif raw.type in _CONVS:
            _settle_conv(made, raw.fields.get("padding"))
        elif raw.type in _POOLS:
            for key, least in (("kernel_size", 1), ("stride", 1), ("padding", 0)):
                made.ints[key] = spread(key, ints[key], 2, least)
        elif raw.type == "Flatten":
            for key, default in (("start_dim", 1), ("end_dim", -1)):
                made.ints[key] = spread(key, ints.get(key, (default,)), 1, -MAX_RANK)
        if made.elementwise:
            _settle_elementwise(made, book)
        for key in ("shape", "input_type", "input_shape"):
            if key in ints and min(ints[key]) < 1:
                raise ShapeError(key, "a shape has sizes above zero", value=ints[key], limit=">= 1")
    except ShapeError as fault:
        book.fault(fault.what, place(name, fault.field), fault.value, fault.limit, fault.hint)
    return made if len(book.problems) == before else None


def _first(bad: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), bad.shape))


def _check_values(name: str, key: str, array: Array, book: Notebook) -> None:
    """Finite everywhere; above zero where a time constant or a threshold must be."""
    finite = np.isfinite(array)
    if not finite.all():
        count = int(array.size - np.count_nonzero(finite))
        spot = _first(~finite)
        nans = int(np.count_nonzero(np.isnan(array)))
        what = f"{nans} NaN and {count - nans} infinite values, the first at index {spot}"
        book.fault(what, place(name, key), value=array[spot].item(), limit="finite numbers")
        return
    if key in _ABOVE_ZERO or key in _NOT_NEGATIVE:
        bad = array <= 0 if key in _ABOVE_ZERO else array < 0
        if bad.any():
            spot, count = _first(bad), int(np.count_nonzero(bad))
            limit = f"{key} > 0" if key in _ABOVE_ZERO else f"{key} >= 0"
            values = f"{count} value{'s' if count > 1 else ''}"
            book.fault(f"{values} out of range, the first at index {spot}", place(name, key), array[spot].item(), limit)


def _settle_dense(made: Draft, book: Notebook) -> None:
    """A weight has an output and an input axis, a bias one value per output."""
    weight = made.arrays["weight"]
    if weight.ndim < 2:
        raise ShapeError("weight", "a weight has the shape (..., out, in)", value=weight.shape, limit="2 axes or more")
    bias = made.arrays.get("bias")
    output = (*weight.shape[:-2], weight.shape[-2])
    if bias is None or bias.shape == output:
        return
    if bias.shape not in ((), output[-1:]):
        what = f"the bias has shape {bias.shape}, the weight {weight.shape} gives {output}"
        raise ShapeError("bias", what, value=f"{bias.size} values", limit=f"{output[-1]} values")
    made.arrays["bias"] = _broadcast(made.name, "bias", bias, output, book)


def _settle_conv(made: Draft, padding: Any) -> None:
    """Integers per spatial axis, groups that divide the channels, padding as numbers."""
    axes = _CONVS[made.type]
    weight, bias = made.arrays["weight"], made.arrays["bias"]
    if weight.ndim != axes + 2:
        names = "(Co, Ci/groups, Kh, Kw)" if axes == 2 else "(Co, Ci/groups, K)"
        raise ShapeError("weight", f"a weight of {made.type} has the shape {names}", weight.shape, f"{axes + 2} axes")
    for key in ("stride", "dilation"):
        made.ints[key] = spread(key, made.ints[key], axes, 1)
    made.ints["groups"] = groups = spread("groups", made.ints["groups"], 1, 1)
    if "input_shape" in made.ints:
        made.ints["input_shape"] = spread("input_shape", made.ints["input_shape"], axes, 1)
    if weight.shape[0] % groups[0]:
        what = f"{groups[0]} groups do not divide {weight.shape[0]} output channels"
        raise ShapeError("groups", what, value=groups[0])
    if bias.shape != weight.shape[:1]:
        what = f"the bias has shape {bias.shape}, the weight {weight.shape} has {weight.shape[0]} output channels"
        raise ShapeError("bias", what, value=f"{bias.size} values", limit=f"{weight.shape[0]} values")
    made.pads = explicit_padding(padding, weight.shape[2:], made.ints["stride"], made.ints["dilation"])


def _settle_elementwise(made: Draft, book: Notebook) -> None:
    """Fill what older files lack; all arrays that are no scalars have one shape."""
    cls = PRIMITIVES[made.type]
    for key in cls.parameters:
        if key not in made.arrays and key in OPTIONAL:
            like = next(made.arrays[other] for other in ("v_threshold", "tau_syn") if other in made.arrays)
            # the shape follows the other parameters, so that a default is never what is broadcast
            shape = next((array.shape for array in made.arrays.values() if array.size > 1), like.shape)
            made.arrays[key] = np.full(shape, OPTIONAL[key], like.dtype)
            book.note(made.name, key, f"not in the file; {OPTIONAL[key]:g} by default", realised=OPTIONAL[key])
    shapes = {key: made.arrays[key].shape for key in cls.parameters}
    if len({shape for shape in shapes.values() if math.prod(shape) > 1}) > 1:
        each = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
        raise ShapeError(cls.parameters[0], f"the parameters of a {made.type} have one common shape; here: {each}")


def finish(made: Draft, book: Notebook) -> Node | None:
    """The typed record, once both shapes are known."""
    if made.input_shape is None or made.output_shape is None:
        return None
    arrays = dict(made.arrays)
    if made.elementwise:
        grown = [key for key, array in arrays.items() if array.shape != made.input_shape]
        if math.prod(made.input_shape) * sum(arrays[key].itemsize for key in grown) > MAX_BROADCAST_BYTES:
            size = f"{grown} to {made.input_shape}"
            book.fault("scalars broadcast beyond the limit", place(made.name), size, f"{MAX_BROADCAST_BYTES} bytes")
            return None
        for key in grown:
            arrays[key] = _broadcast(made.name, key, arrays[key], made.input_shape, book)
    for array in arrays.values():
        array.setflags(write=False)
    return PRIMITIVES[made.type](
        name=made.name,
        input_shape=made.input_shape,
        output_shape=made.output_shape,
        metadata=dict(made.metadata),
        **arrays,
        **_integers(made),
    )


def _broadcast(name: str, key: str, array: Array, shape: Shape, book: Notebook) -> Array:
    # a population of one whose parameters are 0-d is no news: (1,) says the same
    if array.size != math.prod(shape):
        book.note(name, key, f"shape {array.shape} broadcast to {shape}", wanted=array.shape, realised=shape)
    return np.array(np.broadcast_to(array, shape) if array.size > 1 else np.full(shape, array.reshape(-1)[0]))


def _integers(made: Draft) -> dict[str, Any]:
    """The integer fields in the form that `hal.nodes` gives them."""
    if made.type == "Conv1d":
        return {
            "stride": made.ints["stride"][0],
            "dilation": made.ints["dilation"][0],
            "groups": made.ints["groups"][0],
            "padding": made.pads[0],
        }
    if made.type == "Conv2d":
        return {
            "stride": made.ints["stride"],
            "dilation": made.ints["dilation"],
            "groups": made.ints["groups"][0],
            "padding": made.pads,
        }
    if made.type in _POOLS:
        return {key: made.ints[key] for key in ("kernel_size", "stride", "padding")}
    if made.type == "Flatten":
        return {key: made.ints[key][0] for key in ("start_dim", "end_dim")}
    return {}


def output_of(node: Node) -> Shape:
    """The output shape that follows from a typed node's parameters and input shape.

    Raises ShapeError where they contradict each other.
    """
    arrays = {key: getattr(node, key) for key in node.parameters}
    fields = ("stride", "dilation", "groups", "kernel_size", "padding", "start_dim", "end_dim")
    values = {key: getattr(node, key) for key in fields if hasattr(node, key)}
    pads: Any = values.pop("padding", ()) if node.type in _CONVS else ()
    ints = {key: value if isinstance(value, tuple) else (value,) for key, value in values.items()}
    made = Draft(name=node.name, type=node.type, arrays=arrays, ints=ints, metadata={})
    made.pads = (pads,) if node.type == "Conv1d" else pads
    if node.type in _ENDS:
        return node.input_shape
    if made.elementwise and any(array.shape != node.input_shape for array in arrays.values()):
        raise ShapeError(node.parameters[0], f"parameters that do not have the shape {node.input_shape}")
    if node.type in _DENSE and made.wanted() != node.input_shape:
        raise ShapeError("weight", f"the weight does not take {node.input_shape}")
    return made.give(node.input_shape)
