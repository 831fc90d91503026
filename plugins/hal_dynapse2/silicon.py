"""From registers to the emulators' arrays: biases as currents, routes, the individual's mismatch and dead cells."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.device import DeviceSpec
from hal.errors import ConfigError, Problem
from hal_dynapse2 import circuit
from hal_dynapse2.config import PARAMETERS, Dynapse2Config
from hal_dynapse2.limits import CAM_ENTRIES, CORES, EMULATED
from hal_dynapse2.options import Dynapse2OpenOptions
from hal_dynapse2.parameters import SIMULATOR_NAMES
from hal_dynapse2.routes import Routes, routes
from hal_emulators import dpi, dynapsim
from hal_emulators.dpi_mismatch import mismatched

Float = NDArray[np.float64]

I_SCALE: Final = 1e-8
"""What the simulator's weights are in units of, A; it cancels."""
PLAIN: Final = (
    "Itau_mem", "Igain_mem", "Iref", "Ipulse", "If_nmda", "Itau_ahp", "Igain_ahp", "Iw_ahp", "Ipulse_ahp"
)  # fmt: skip
"""Currents that both emulators have under the same name."""
NEVER: Final = 1.0
"""Threshold of a neuron that is switched off, A: no membrane gets there."""


def counting(spec: DeviceSpec, config: Dynapse2Config) -> DeviceSpec:
    """The spec with a place in its counters for every core of every chip."""
    cores = config.chips.x.size * CORES
    return spec if cores == spec.cores else attrs.evolve(spec, cores=cores)


def currents(config: Dynapse2Config) -> dict[str, Float]:
    """(n,) A of every neuron by the names of the equations, Iw (n, 4)."""
    order = np.argsort(config.cores.place)
    row = order[np.searchsorted(config.cores.place[order], config.neurons.core_place)]
    made = config.cores.realised()[row]
    of = {name: made[:, PARAMETERS.index(parameter)] for name, parameter in SIMULATOR_NAMES.items()}
    of["Iw"] = np.stack([of[f"Iw_{k}"] for k in range(4)], axis=1)
    return of


def neurons(config: Dynapse2Config) -> dpi.Neurons:
    """The chip's neurons, all as designed."""
    of = currents(config)
    given: dict[str, Any] = {
        "Io": circuit.IO,
        "kappa_n": circuit.KAPPA_N,
        "kappa_p": circuit.KAPPA_P,
        "Ut": circuit.UT,
        "Vth": circuit.VTH,
        "C_mem": circuit.C_MEM,
        "C_ref": circuit.C_REF,
        "C_pulse": circuit.C_PULSE,
        "C_ahp": circuit.C_AHP,
        "C_pulse_ahp": circuit.C_PULSE_AHP,
        "C_syn": circuit.C_SYN,
    }
    for kind in ("Itau", "Igain"):
        given[f"{kind}_syn"] = np.stack([of[f"{kind}_{name}"] for name in EMULATED], axis=1)
    return dpi.Neurons(
        core=config.neurons.core_place,
        thresholded=config.neurons.latch("soif_type"),
        adaptation=config.neurons.latch("so_adaptation"),
        dc=config.neurons.latch("so_dc"),
        Iw=of["Iw"],
        Idc=of["Idc"],
        Ispkthr=np.where(config.neurons.latch("soif_kill"), NEVER, of["Ispkthr"]),
        **given,
        **{name: of[name] for name in PLAIN},
    )


def chip(config: Dynapse2Config, options: Dynapse2OpenOptions, seed: int) -> dpi.Chip:
    """The chip-like emulator of a configuration. ValueError where a circuit has no behaviour."""
    alive = attrs.evolve(config, cam=_alive(config, options))
    found = routes(alive)
    made = neurons(config)
    if options.mismatch:
        place = config.neurons
        made = mismatched(
            made,
            chip_seed=options.chip_seed,
            chip=place.chip,
            core=place.core,
            neuron=place.neuron,
            sigma=options.mismatch,
        )
    return dpi.Chip(
        made,
        dpi.Routes(
            packet_ptr=found.packet_ptr,
            packet_core=found.packet_core,
            synapse_ptr=found.synapse_ptr,
            neuron=found.target,
            dendrite=found.dendrite,
            mask=found.mask,
        ),
        dpi.Bus(event_ns=options.bus_event_s * 1e9, capacity=options.bus_capacity),
        artefacts=dpi.Artefacts(p_double=options.double_spikes, p_lost=options.lost_events, seed=seed),
        pull=options.pull,
    )


def _alive(config: Dynapse2Config, options: Dynapse2OpenOptions) -> Any:
    """The CAM of an individual: some entries never react, the same ones for every network."""
    if not options.dead_cam:
        return config.cam
    dead = np.zeros(config.cam.mask.shape, bool)
    for row, place in enumerate(config.neurons.place.tolist()):
        dead[row] = np.random.default_rng([options.chip_seed, place]).random(CAM_ENTRIES) < options.dead_cam
    return attrs.evolve(config.cam, mask=np.where(dead, 0, config.cam.mask))


def simulator(config: Dynapse2Config) -> dynapsim.DynapSim:
    """The vendor's simulator of a configuration: excitation and inhibition by one synaptic current, that of AMPA.

    Raises ConfigError for what it does not have: NMDA and shunting dendrites, and a configuration without a step.
    """
    problems = []
    if config.step_ns is None:
        problems.append(Problem("DynapSim goes in steps", "step_ns", limit="a number", hint="map with dt"))
    # without any input a neuron that is switched off stays silent; out of reach of a threshold its rule would run away
    off = config.neurons.latch("soif_kill")
    cam = attrs.evolve(config.cam, mask=np.where(off[:, None], 0, config.cam.mask).astype(config.cam.mask.dtype))
    found = routes(attrs.evolve(config, cam=cam))
    strange = int((found.dendrite > EMULATED.index("gaba")).sum())
    if strange:
        problems.append(Problem("DynapSim has AMPA and GABA only", "cam.dendrite", f"{strange} others"))
    if problems:
        raise ConfigError("the vendor's simulator cannot run that", problems=problems)
    of = currents(config)
    given: dict[str, Any] = {name: of[name] for name in (*PLAIN, "Ispkthr")}
    given["Idc"] = np.where(config.neurons.latch("so_dc") & ~off, of["Idc"], circuit.IO)
    given |= {"Itau_syn": of["Itau_ampa"], "Igain_syn": of["Igain_ampa"], "C_syn": circuit.C_SYN[0]}
    w_in, w_rec = _weights(found, of["Iw"])
    return dynapsim.DynapSim(dynapsim.Neurons(**given), w_in, w_rec, dt_s=(config.step_ns or 1) * 1e-9, i_scale=I_SCALE)


def _weights(found: Routes, base: Float) -> tuple[dynapsim.Synapses, dynapsim.Synapses]:
    """Signed weights by channel and by neuron; several packets of a source are one list."""
    bits = (found.mask[:, None].astype(np.int64) >> np.arange(4)) & 1
    weight = (bits * base[found.target]).sum(axis=1) / I_SCALE * np.where(found.dendrite == 0, 1.0, -1.0)
    ends = found.synapse_ptr[found.packet_ptr]
    split = ends[found.n_inputs]
    parts = []
    for indptr, part in (
        (ends[: found.n_inputs + 1], slice(0, split)),
        (ends[found.n_inputs :] - split, slice(split, None)),
    ):
        source = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
        parts.append(dynapsim.Synapses.from_lists(indptr.size - 1, source, found.target[part], weight[part]))
    return parts[0], parts[1]
