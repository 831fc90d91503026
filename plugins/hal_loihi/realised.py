"""What the chip computes with, in the model's units, and what became of weights that are too small."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal.mapping import Losses
from hal.model import Model
from hal.stepping import per_step, time_constant
from hal_loihi.discretise import Discretised, StoredGroup
from hal_loihi.layers import Connection, Population

PARAMETERS: Final = {"weights": "weight", "threshold": "v_threshold"}
"""The discretiser's names and the model's."""


Labels = dict[tuple[str, int], tuple[Any, NDArray[np.int64]]]
"""(population, number of its connection) -> weight node, and for every synapse which of its weights it is."""


def labels(populations: list[Population]) -> Labels:
    """Of all connections whose synapses are one weight each. Behind pools and scales several weights make a synapse."""
    found = {(p.name, k): _labels(connection) for p in populations for k, connection in enumerate(p.inputs)}
    return {key: label for key, label in found.items() if label is not None}


def values(
    model: Model, populations: list[Population], stored: list[Discretised], known: Labels, dt_ns: int
) -> dict[tuple[str, str], NDArray[Any]]:
    """Weights, thresholds, lower bounds, time constants.

    Weights several of which make one synapse (behind pools, scales) are out.
    """
    out: dict[tuple[str, str], NDArray[Any]] = {}
    for p, d in zip(populations, stored, strict=True):
        node: Any = model.nodes[p.name]
        numbers = per_step(node, model.semantics, dt_ns)
        threshold = d.vth / d.unit + numbers.v_reset
        out[p.name, "v_threshold"] = threshold.reshape(node.v_threshold.shape)
        if np.isfinite(p.v_min).all():
            out[p.name, "v_min"] = (d.realised_v_min + numbers.v_reset).reshape(node.v_threshold.shape)
        membrane = "tau_mem" if numbers.has_current else "tau"
        if hasattr(node, membrane):
            out[p.name, membrane] = time_constant(numbers.rule, d.decay_v.realised, dt_ns).reshape(
                getattr(node, membrane).shape
            )
        if numbers.has_current:
            out[p.name, "tau_syn"] = time_constant(numbers.rule, d.decay_u.realised, dt_ns).reshape(node.tau_syn.shape)
        for k, (connection, group) in enumerate(zip(p.inputs, d.groups, strict=True)):
            if (p.name, k) not in known:
                continue
            weight_node, label = known[p.name, k]
            gains = connection.gain[_rows(connection.matrix)]
            # what makes no synapse stays as it is
            weight = weight_node.weight.ravel().astype(np.float64)
            with np.errstate(divide="ignore", invalid="ignore"):
                weight[label] = np.where(gains == 0, weight[label], np.asarray(group.realised).ravel() / gains)
            out[weight_node.name, "weight"] = weight.reshape(weight_node.weight.shape)
    return out


def losses(populations: list[Population], stored: list[Discretised], known: Labels) -> Losses:
    """Weights that became 0."""
    groups: list[Any] = []
    for p, d in zip(populations, stored, strict=True):
        for k, group in enumerate(d.groups):
            if (p.name, k) in known:
                weight_node, label = known[p.name, k]
                gone = np.unique(label[_gone(group)])
                wanted = weight_node.weight.ravel()[gone].astype(np.float64)
                groups.append((weight_node.name, "weight", gone, wanted, np.zeros(gone.size), "rounded to 0"))
    return Losses.build(groups)


def _gone(group: StoredGroup) -> NDArray[np.bool_]:
    gone: NDArray[np.bool_] = np.asarray(group.effective).ravel() == 0
    return gone


def _rows(matrix: csr_array) -> NDArray[np.int64]:
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def _labels(connection: Connection) -> tuple[Any, NDArray[np.int64]] | None:
    """The weight node of a connection, and for every synapse which of its weights it is; None where that is not one."""
    found = connection.projection.labels()
    if found is None:
        return None
    node, labels = found
    # a number for every synapse, in the order of the synapses: one that is there has a number above 0
    own = connection.matrix
    there = csr_array((np.ones(own.nnz, np.int64), own.indices, own.indptr), own.shape)
    numbers = csr_array(labels.multiply(there))
    numbers.sort_indices()
    return node, numbers.data.astype(np.int64) - 1
