"""From integers and places to the registers of the chip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from hal.model import Model
from hal_loihi import topologies
from hal_loihi.allocator import Allocation
from hal_loihi.config import (
    EXCITATORY,
    INHIBITORY,
    MIXED,
    CompartmentsConfig,
    CoresConfig,
    GroupsConfig,
    InputConfig,
    LoihiConfig,
    PopulationConfig,
    SynapsesConfig,
)
from hal_loihi.discretise import Block, Discretised, Group
from hal_loihi.layers import Population
from hal_loihi.options import LoihiMapOptions
from hal_loihi.splitting import Split
from hal_loihi.weights import SignMode

Ints = NDArray[np.int64]
MODES = {SignMode.MIXED: MIXED, SignMode.EXCITATORY: EXCITATORY, SignMode.INHIBITORY: INHIBITORY}


def block(p: Population) -> Block:
    """A population as the discretiser takes it; gains are in the weights already."""
    groups = tuple(
        Group(name=topologies.group_name(c), weights=c.matrix.data, targets=_rows(c.matrix)) for c in p.inputs
    )
    bounded = np.isfinite(p.v_min).all()
    return Block(
        name=p.name,
        threshold=p.threshold,
        alpha=p.keep_u,
        beta=p.keep_v,
        bias=p.bias,
        v_min=p.v_min if bounded else None,
        refractory_steps=p.refract - 1,
        groups=groups,
    )


def _rows(matrix: csr_array) -> Ints:
    return np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))


def places(p: Population, cut: Split, placed: Allocation) -> dict[str, Ints]:
    """Chip, core and number on the core of every neuron, in the model's order."""
    columns = {name: np.zeros(p.size, np.int64) for name in ("chip", "core", "neuron")}
    order = topologies.order(p.shape)
    for k, one in enumerate(cut.blocks):
        if one.layer != p.name:
            continue
        own = order[one.compartments]
        columns["chip"][own], columns["core"][own] = placed.chip[k], placed.core[k]
        columns["neuron"][own] = placed.offset[k] + np.arange(own.size)
    return columns


def config(
    model: Model,
    populations: list[Population],
    stored: list[Discretised],
    cut: Split,
    placed: Allocation,
    dt_ns: int,
    options: LoihiMapOptions,
) -> LoihiConfig:
    """Everything the chip is told."""
    where = [places(p, cut, placed) for p in populations]
    chip = np.concatenate([w["chip"] for w in where])
    core = np.concatenate([w["core"] for w in where])
    found, row = np.unique(np.stack([chip, core], axis=1), axis=0, return_inverse=True)
    row = row.ravel()
    firsts = np.cumsum([0, *(p.size for p in populations)])
    limits = np.zeros((len(found), 2), np.int64)
    for p_first, p, d in zip(firsts, populations, stored, strict=False):
        limits[row[p_first : p_first + p.size]] = d.vmin_exp, d.vmax_exp
    n_cores = len(found)
    return LoihiConfig(
        step_ns=dt_ns,
        inputs=tuple(InputConfig(name=name, shape=model.nodes[name].output_shape) for name in model.inputs),
        populations=tuple(
            PopulationConfig(name=p.name, first=int(first), shape=p.shape)
            for p, first in zip(populations, firsts, strict=False)
        ),
        compartments=CompartmentsConfig(
            core=row.astype(np.int32),
            decay_u=np.concatenate([d.decay_u.register for d in stored]),
            decay_v=np.concatenate([d.decay_v.register for d in stored]),
            # sums of synapses are multiples of 64: v >= vth is v > vth - 64
            vth_mant=np.concatenate(
                [np.maximum(d.vth_mant - p.at_threshold, 1) for p, d in zip(populations, stored, strict=True)]
            ),
            bias_mant=np.concatenate([d.bias_mant for d in stored]),
            bias_exp=np.concatenate([d.bias_exp for d in stored]),
            refract_delay=np.concatenate([d.refract_delay for d in stored]),
        ),
        cores=CoresConfig(
            chip=found[:, 0].astype(np.int32),
            core=found[:, 1].astype(np.int32),
            vmin_exp=limits[:, 0].astype(np.int32),
            vmax_exp=limits[:, 1].astype(np.int32),
            enable_noise=np.full(n_cores, options.noise_exp is not None),
            noise_exp=np.full(n_cores, options.noise_exp or 1, np.int32),
            noise_offset=np.full(n_cores, options.noise_offset, np.int32),
            noise_at_membrane=np.full(n_cores, options.noise_at_membrane),
        ),
        groups=_groups(stored),
        synapses=_synapses(model, populations, stored, firsts),
    )


def _groups(stored: list[Discretised]) -> GroupsConfig:
    groups = [group for d in stored for group in d.groups]
    return GroupsConfig(
        weight_exp=np.array([group.exponent for group in groups], np.int32),
        num_weight_bits=np.array([group.weight_bits for group in groups], np.int32),
        sign_mode=np.array([MODES[group.sign_mode] for group in groups], np.int32),
    )


def _synapses(model: Model, populations: list[Population], stored: list[Discretised], firsts: Ints) -> SynapsesConfig:
    """All connections sorted by source: inputs by name order of the model, then compartments."""
    start: dict[str, int] = {}
    n_sources = 0
    for name in model.inputs:
        start[name] = n_sources
        n_sources += model.nodes[name].size
    for p in populations:
        start[p.name] = n_sources
        n_sources += p.size
    source, target, mantissa, group, delay = ([np.empty(0, np.int64)] for _ in range(5))
    number = 0
    for first, p, d in zip(firsts, populations, stored, strict=False):
        for connection, made in zip(p.inputs, d.groups, strict=True):
            rows, columns = _rows(connection.matrix), connection.matrix.indices.astype(np.int64)
            source.append(columns + start[connection.source])
            target.append(rows + first)
            mantissa.append(np.asarray(made.mantissa, np.int64).ravel())
            group.append(np.full(rows.size, number))
            delay.append(np.broadcast_to(connection.delay, (connection.matrix.shape[1],))[columns])
            number += 1
    of = np.concatenate(source)
    order = np.argsort(of, kind="stable")
    return SynapsesConfig(
        indptr=np.concatenate([[0], np.cumsum(np.bincount(of, minlength=n_sources))]),
        target=np.concatenate(target)[order].astype(np.int32),
        mantissa=np.concatenate(mantissa)[order].astype(np.int16),
        group=np.concatenate(group)[order].astype(np.uint16),
        delay=np.concatenate(delay)[order].astype(np.uint8),
    )
