"""Where synapses are, for the allocator: layers, images and connections as `hal_loihi.topology` has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hal import nodes
from hal.fit import Finding
from hal.model import Model
from hal_loihi.discretise import Discretised
from hal_loihi.layers import Connection, Population
from hal_loihi.topology import Conv, Dense, Layer, Network, SynapseFormat, tiles

Ints = NDArray[np.int64]


def group_name(connection: Connection) -> str:
    """Name of a connection among the synapse groups of its population."""
    return " > ".join((connection.source, *connection.nodes))


def image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C, H, W) as (H, W, C), everything else flat."""
    return (shape[1], shape[2], shape[0]) if len(shape) == 3 else (int(np.prod(shape)),)


def order(shape: tuple[int, ...]) -> Ints:
    """For every position of `image(shape)` the flat index in the model's shape."""
    index = np.arange(int(np.prod(shape)))
    return index.reshape(shape).transpose(1, 2, 0).ravel() if len(shape) == 3 else index


def network(
    model: Model, populations: list[Population], stored: list[Discretised], pop_type: Literal[16, 32] = 32
) -> Network:
    """The whole network, with profiles and formats that decide what may share a core."""
    profiles = np.concatenate(
        [np.stack([d.decay_u.register, d.decay_v.register, d.refract_delay], axis=1) for d in stored]
    )
    # one number instead of three is sorted in a tenth of the time
    codes = np.ravel_multi_index(tuple(profiles.T), tuple(profiles.max(axis=0) + 1))
    compartment = np.unique(codes, return_inverse=True)[1].ravel()
    threshold = np.unique(np.concatenate([d.vth_mant for d in stored]), return_inverse=True)[1].ravel()
    layers: list[Layer] = []
    connections: list[Conv | Dense] = []
    first = 0
    for p, d in zip(populations, stored, strict=True):
        own = first + order(p.shape)
        layers.append(
            Layer(
                p.name,
                image(p.shape),
                compartment_profiles=compartment[own],
                threshold_profiles=threshold[own],
                settings=(d.vmin_exp, d.vmax_exp),
            )
        )
        first += p.size
        for connection, group in zip(p.inputs, d.groups, strict=True):
            form = SynapseFormat(
                weight_bits=group.weight_bits,
                delay_bits=int(connection.delay.max()).bit_length(),
                weight_exp=group.exponent,
                sign_mode=group.sign_mode.value,
            )
            shape = model.nodes[connection.source].output_shape
            connections.append(_connection(connection, p, shape, form, pop_type))
    inputs = [Layer(name, image(model.nodes[name].output_shape)) for name in model.inputs]
    return Network(inputs, layers, connections)


def _connection(
    connection: Connection, p: Population, source: tuple[int, ...], form: SynapseFormat, pop_type: Literal[16, 32]
) -> Conv | Dense:
    path = [node for node in connection.projection.path if not isinstance(node, nodes.Delay)]
    if len(path) == 1 and isinstance(path[0], nodes.Conv2d):
        conv = path[0]
        if conv.groups == 1 and conv.dilation == (1, 1) and len(source) == len(p.shape) == 3:
            (top, _), (left, _) = conv.padding
            return Conv(
                connection.source,
                p.name,
                kernel=(conv.weight.shape[2], conv.weight.shape[3]),
                stride=conv.stride,
                pad_top=top,
                pad_left=left,
                in_shape=image(source),  # type: ignore[arg-type]  # three axes
                out_shape=image(p.shape),  # type: ignore[arg-type]
                pop_type=pop_type,
                format=form,
            )
    matrix = connection.matrix
    if matrix.nnz == matrix.shape[0] * matrix.shape[1]:
        return Dense(connection.source, p.name, format=form)
    pattern = matrix[order(p.shape)][:, order(source)].T
    return Dense(connection.source, p.name, pattern, format=form)


def shape_problems(network: Network, shapes: Mapping[str, tuple[int, ...]]) -> list[Finding]:
    """Block shapes by hand that are none."""
    layers = {layer.name: layer for layer in network.layers}
    found = []
    for name, shape in shapes.items():
        if name not in layers:
            reason, hint = "no such population on the chip", f"there are: {', '.join(layers)}"
        else:
            try:
                tiles(layers[name], shape)
                continue
            except ValueError as error:
                reason, hint = str(error), "sizes in the order (rows, columns, channels), or (n,)"
        found.append(Finding(level="refused", node=name, field="block_shape", reason=reason, wanted=shape, hint=hint))
    return found
