"""From a model to the registers of DYNAP-SE2: parameter sets, cores, masks, tags, and what became of everything."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.events import Port, Probe
from hal.fit import Finding, FitReport, FitRow
from hal.mapper import Mapper, Plan
from hal.mapping import Mapping, plain_fates
from hal.model import Model
from hal.notes import Notes
from hal_dynapse2 import alike, kept, packing, registers, rows
from hal_dynapse2.allocator import Connections, allocate
from hal_dynapse2.biasing import Core, settle
from hal_dynapse2.cells import Cells, Reader
from hal_dynapse2.config import ChipsConfig, Dynapse2Config
from hal_dynapse2.limits import CAM_ENTRIES, CORES, DENDRITES
from hal_dynapse2.options import Dynapse2MapOptions, Dynapse2Profile
from hal_dynapse2.packing import Packing, pack
from hal_dynapse2.sets import ParameterSet, group
from hal_dynapse2.synapses import Synapses, synapses

Ints = NDArray[np.int64]


@attrs.frozen(kw_only=True, eq=False)
class Settled:
    """Cores in use, (c,) numbers over all chips, and what they are set to; masks and areas of all synapses."""

    numbers: Ints
    cores: tuple[Core, ...]
    of_neuron: Ints
    """(n,) which of them each neuron is on."""
    masks: NDArray[np.uint8]
    areas: NDArray[np.float64]
    clipped: NDArray[np.bool_]


class Dynapse2Mapper(Mapper):
    """Graphs of linear maps and CubaLIF neurons; LIF neurons where a jump may be approximated."""

    profile: Dynapse2Profile | None

    def _plan(
        self,
        model: Model,
        options: Dynapse2MapOptions,
        record: tuple[Probe, ...],
        like: Mapping | None,
        seed: int,
        rates_hz: MappingABC[str, float] | None,
    ) -> Plan:
        if self.spec.clock.kind == "clocked" and model.semantics.dt_ns is None:
            # said by the core
            return Plan()
        reader = Reader(model, options)
        notes = reader.notes
        if notes.refused:
            return Plan(findings=notes.findings)
        cells = reader.cells
        if self.spec.clock.kind == "clocked":
            for c in cells:
                reason = (
                    "the vendor's simulator: positive feedback always, inhibition only cancels input of its own step"
                )
                notes.say("changed", c.name, "rule", reason, "as in the model", "DynapSim")
        elif options.exponential:
            for c in cells:
                reason = "spikes start by positive feedback, below the threshold and before it"
                notes.say("changed", c.name, "rule", reason, "at the threshold", "exponential")
        sets, of = group(cells, options.tolerance, notes)
        # like an earlier mapping: on its chips, whatever the options say
        grid = registers.grid(options.grid) if like is None else like.config.chips
        found = synapses(model, cells)
        packed = self._packed(cells, of, found, grid, options) if like is None else alike.packed(like, cells, of)
        made = rows.cores(packed, of, grid.x.size)
        if packed.shortage is not None or packed.faults or notes.refused:
            rows.faults(packed, cells, notes)
            return Plan(rows=made, findings=notes.findings)
        profile = self._individual(grid)
        codes, room = kept.forced(found, options, notes), _room(packed, profile)
        settled = _settled(sets, of, packed, found, options, codes, room, seed)
        kept.about(cells, settled, found, codes, notes)
        if notes.refused:
            return Plan(rows=made, findings=notes.findings)
        connections, which = _connections(found, settled)
        monitored = registers.monitored(model, cells, record)
        allocation = allocate(
            connections,
            packed.places,
            grid,
            monitored=monitored,
            denied_tags=profile.denied_tags,
            denied_cam=profile.denied_cam,
        )
        made += rows.memories(allocation, cells, found.n_inputs, packed.places, profile, notes)
        if not all(row.ok for row in made) or notes.refused:
            return Plan(rows=made, findings=notes.findings)
        config = registers.config(
            model, cells, packed.places, grid, settled, allocation, record, exponential=options.exponential
        )
        if like is not None:
            config = alike.registers(like, config, connections)
        values = kept.realised(model, cells, found, settled, options)
        return Plan(
            rows=made,
            findings=notes.findings,
            config=config,
            placement=registers.placement(config),
            fates=plain_fates(model),
            losses=kept.losses(cells, found, settled, which, monitored, values),
            realised=values,
            step_ns=model.semantics.dt_ns,
            latency_ns={c.name: c.latency * (model.semantics.dt_ns or 0) // 2 for c in cells}
            | {name: kept.latency(model, cells, name) for name in model.outputs},
        )

    def _packed(
        self, cells: list[Cells], of: Ints, found: Synapses, grid: ChipsConfig, options: Dynapse2MapOptions
    ) -> Packing:
        first = np.concatenate([[0], np.cumsum([c.size for c in cells])])
        fixed = [
            packing.Fixed(int(start), c.size, tuple(divmod(core, CORES) for core in options.cores[c.name]))
            for c, start in zip(cells, first, strict=False)
            if options.cores.get(c.name)
        ]
        inner = found.source >= found.n_inputs
        pairs = np.stack([found.source[inner] - found.n_inputs, found.target[inner]], axis=1)
        return pack(of, grid.x.size, pairs=pairs, denied=self._individual(grid).denied_neurons, fixed=fixed)

    def _individual(self, grid: ChipsConfig) -> Dynapse2Profile:
        """The profile, of the chips of this grid alone, and each row once."""
        given = self.profile or Dynapse2Profile(id="")
        there: dict[str, Any] = {}
        for name in ("denied_tags", "denied_neurons", "denied_cam"):
            rows_of = getattr(given, name)
            there[name] = np.unique(rows_of[rows_of[:, 0] < grid.x.size], axis=0)
        return attrs.evolve(given, **there)

    def _edit(self, mapping: Mapping, config: Dynapse2Config) -> list[FitRow | Finding]:
        before: Dynapse2Config = mapping.config
        notes = Notes(frozenset())
        for field in ("step_ns", "inputs", "populations", "chips"):
            if getattr(config, field) != getattr(before, field):
                notes.refuse("", field, "edited registers keep it", hint="map again, or adopt the registers")
        if not np.array_equal(config.neurons.place, before.neurons.place):
            notes.refuse("", "neurons", "edited registers keep places", hint="map again, or adopt the registers")
        return list(notes.findings)

    def _adopt(self, config: Dynapse2Config) -> Mapping:
        return Mapping(
            device=self.spec.name,
            config=config,
            placement=registers.placement(config),
            fit=FitReport(device=self.spec.name, findings=tuple(registers.unheard(config))),
            inputs=tuple(Port(port.name, port.shape) for port in config.inputs),
            outputs=tuple(Port(run.name, run.shape) for run in config.populations),
            step_ns=config.step_ns,
            profile_id=getattr(self.profile, "id", None),
        )


def _settled(
    sets: list[ParameterSet],
    of: Ints,
    packed: Packing,
    found: Synapses,
    options: Dynapse2MapOptions,
    forced: NDArray[np.int64],
    room: Ints,
    seed: int,
) -> Settled:
    """Every core's biases, and the masks of the synapses that end on it. room: (n,) CAM entries of each neuron."""
    core_of = packed.places.chip.astype(np.int64) * CORES + packed.places.core
    numbers, first, of_neuron = np.unique(core_of, return_index=True, return_inverse=True)
    masks = np.zeros((found.source.size, options.entries), np.uint8)
    areas = np.zeros(found.source.size)
    clipped = np.zeros(found.source.size, bool)
    cores = []
    by_core = of_neuron[found.target]
    for k in range(numbers.size):
        mine = np.flatnonzero(by_core == k)
        core = settle(
            sets[of[first[k]]],
            np.abs(found.area[mine]),
            found.area[mine] > 0,
            forced[mine],
            found.target[mine],
            room,
            iscale=options.iscale,
            entries=options.entries,
            seed=seed,
        )
        masks[mine], areas[mine], clipped[mine] = core.masks, core.areas, core.clipped
        cores.append(core)
    return Settled(numbers=numbers, cores=tuple(cores), of_neuron=of_neuron, masks=masks, areas=areas, clipped=clipped)


def _room(packed: Packing, profile: Dynapse2Profile) -> Ints:
    """(n,) CAM entries that each neuron may use."""
    places, denied = packed.places, profile.denied_cam
    of = np.stack([places.chip, places.core, places.neuron], axis=1)
    bad = (of[:, None] == denied[None, :, :3]).all(axis=2).sum(axis=1)
    return np.asarray(CAM_ENTRIES - bad, np.int64)


def _connections(found: Synapses, settled: Settled) -> tuple[Connections, Ints]:
    """What takes a CAM entry, and which synapse each of them is."""
    which, entry = np.nonzero(settled.masks)
    dendrite = np.where(found.area[which] > 0, DENDRITES["ampa"], DENDRITES["gaba"])
    made = Connections(
        found.n_inputs, found.source[which], found.target[which], dendrite, settled.masks[which, entry].astype(np.int64)
    )
    return made, which
