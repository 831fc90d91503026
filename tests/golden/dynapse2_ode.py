"""DYNAP-SE2 neurons as one system of differential equations, solved by scipy from one discontinuity to the next.

The equations are those of docs/chips/dynapse2_equations.md, written down again: this shares no code with the emulator.
One chip; adaptation off. Currents in A, times in s.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp

from hal_dynapse2.config import PARAMETERS, Dynapse2Config
from hal_dynapse2.limits import CORES, LATCHES

HERE = Path(__file__).parent / "dynapse2"
Float = NDArray[np.float64]

IO, UT, VTH, KAPPA = 5e-13, 25e-3, 0.7, (0.75 + 0.66) / 2
C_MEM, C_REF, C_PULSE = 3e-12, 1.5e-12, 0.5e-12
C_SYN = {"ampa": 24.5e-12, "gaba": 25e-12, "nmda": 25e-12, "shunt": 24.5e-12}
CODES = {1024: 0, 512: 1, 256: 2, 128: 3}
"""Dendrite of a CAM entry -> row of C_SYN."""
BUS = 100e-9
"""What one event takes of a core's tag bus."""


def currents(config: Dynapse2Config) -> dict[str, Float]:
    """(n,) A of every neuron by the names of the equations: its core's registers in the vendor's tables."""
    with np.load(HERE / "bias_generator.npz", allow_pickle=False) as file:
        tables, meta = {"N": file["table_N"], "P": file["table_P"]}, json.loads(str(file["meta"]))
    cores = list(zip(config.cores.chip.tolist(), config.cores.core.tolist(), strict=True))
    neurons = zip(config.neurons.chip.tolist(), config.neurons.core.tolist(), strict=True)
    row = np.array([cores.index(place) for place in neurons])
    made = {}
    for name, parameter, scale in zip(meta["simulator_names"], meta["parameters"], meta["scale"], strict=True):
        column = PARAMETERS.index(parameter)
        coarse, fine = config.cores.coarse[row, column], config.cores.fine[row, column]
        made[name] = tables[parameter[-1]][coarse, fine] * scale
    return made


def wires(config: Dynapse2Config) -> dict[int, list[tuple[int, list[tuple[int, int, int]]]]]:
    """Source (channels, then neurons) -> packets: (core, the CAM entries there: neuron, dendrite, mask)."""
    first = config.n_inputs
    sends = [
        (int(channel), int(mask), int(tag))
        for channel, mask, tag in zip(config.host.channel, config.host.core_mask, config.host.tag, strict=True)
    ]
    sram = config.sram
    for neuron, slot in zip(*np.nonzero(sram.core_mask), strict=True):
        if sram.x_hop[neuron, slot] == sram.y_hop[neuron, slot] == 0:
            sends.append((first + int(neuron), int(sram.core_mask[neuron, slot]), int(sram.tag[neuron, slot])))
    made: dict[int, list[tuple[int, list[tuple[int, int, int]]]]] = {}
    for source, mask, tag in sends:
        for core in range(CORES):
            if mask >> core & 1:
                made.setdefault(source, []).append((core, list(_listening(config, core, tag))))
    return made


def _listening(config: Dynapse2Config, core: int, tag: int) -> Iterator[tuple[int, int, int]]:
    cam = config.cam
    for neuron in np.flatnonzero(config.neurons.core == core).tolist():
        for slot in np.flatnonzero((cam.tag[neuron] == tag) & (cam.dendrite[neuron] > 0)).tolist():
            yield neuron, CODES[int(cam.dendrite[neuron, slot])], int(cam.mask[neuron, slot])


class Circuit:
    """State: ln(I_mem / Io), then the dendrites' currents over Io, row by row."""

    def __init__(self, config: Dynapse2Config) -> None:
        n = config.neurons.chip.size
        self.n, self.n_inputs, self.packets = n, config.n_inputs, wires(config)
        latches = {name: config.neurons.latches[:, k] for k, name in enumerate(LATCHES)}
        assert not latches["so_adaptation"].any()
        of = currents(config)
        self.leak, self.gain, self.threshold, self.nmda_bias = (
            of[name] for name in ("Itau_mem", "Igain_mem", "Ispkthr", "If_nmda")
        )
        self.feedback = np.where(latches["soif_type"], 0.0, 1.0)
        self.dc = np.where(latches["so_dc"], of["Idc"], 0.0)
        self.base = np.stack([of[f"Iw_{k}"] for k in range(4)], axis=1)
        self.tau = np.stack([UT * c / (KAPPA * of[f"Itau_{name}"]) for name, c in C_SYN.items()])
        self.ratio = np.stack([of[f"Igain_{name}"] / of[f"Itau_{name}"] for name in C_SYN])
        self.pulse, self.refractory = VTH * C_PULSE / of["Ipulse"], VTH * C_REF / of["Iref"]
        self.counts = np.zeros((4, n, 4))
        self.drive = np.zeros((4, n))
        self.free = np.ones(n)
        """0 while a neuron is held at its dark current."""

    def slope(self, _: float, y: Float) -> Float:
        """dy/dt."""
        # a trial step may run away, and is then taken again; no current is ever e^30 Io
        membrane = IO * np.exp(np.clip(y[: self.n], -1.0, 30.0))
        dendrites = y[self.n :].reshape(4, self.n)
        ampa, gaba, nmda, shunt = IO * dendrites
        net = ampa + nmda * membrane / (membrane + self.nmda_bias) - gaba + self.dc
        share = self.gain / (membrane + self.gain)
        leak = self.leak + (shunt - IO) + share * np.maximum(-net, 0)
        back = self.feedback * IO * (membrane / IO) ** (KAPPA / (KAPPA + 1))
        grows = share * np.maximum(net, 0) + back - leak * (1 - IO / membrane)
        filtered = (1 - dendrites + self.ratio * self.drive / IO) / self.tau
        return np.concatenate([self.free * KAPPA / (C_MEM * UT) * grows, filtered.ravel()])

    def over(self, _: float, y: Float) -> float:
        """How far above its threshold the most excited neuron is; crosses 0 at a spike."""
        return float((y[: self.n] - np.log(self.threshold / IO))[self.free > 0].max(initial=-1.0))

    def switch(self, entry: tuple[int, int, int], by: int) -> None:
        """A pulse of a CAM entry begins (1) or ends (-1)."""
        neuron, dendrite, mask = entry
        self.counts[dendrite, neuron] += by * (mask >> np.arange(4) & 1)
        self.drive[dendrite, neuron] = self.counts[dendrite, neuron] @ self.base[neuron]


@attrs.define
class Agenda:
    """What happens when, and the tag buses."""

    circuit: Circuit
    queue: list[tuple[float, int, str, Any]] = attrs.field(factory=list)
    bus: dict[int, float] = attrs.field(factory=dict)
    number: int = 0

    def put(self, t: float, kind: str, what: Any) -> None:
        """In the order of time, then as put."""
        self.number += 1
        heapq.heappush(self.queue, (t, self.number, kind, what))

    def send(self, source: int, t: float) -> None:
        """An event to the buses of all cores that listen, one after the other on each."""
        for core, entries in self.circuit.packets.get(source, []):
            self.bus[core] = max(t, self.bus.get(core, 0.0)) + BUS
            self.put(self.bus[core], "arrive", entries)

    def happen(self, t: float, kind: str, what: Any) -> None:
        """One entry of the queue."""
        if kind == "host":
            self.send(what, t)
        elif kind == "free":
            self.circuit.free[what] = 1.0
        else:
            for entry in what:
                self.circuit.switch(entry, 1 if kind == "arrive" else -1)
                if kind == "arrive":
                    self.put(t + self.circuit.pulse[entry[0]], "end", [entry])


def run(config: Dynapse2Config, t_ns: NDArray[np.int64], channel: NDArray[np.int64], duration_s: float) -> list[Any]:
    """(time in s, neuron) of every spike."""
    circuit = Circuit(config)
    agenda = Agenda(circuit)
    for when, source in sorted(zip(t_ns.tolist(), channel.tolist(), strict=True)):
        agenda.put(when * 1e-9, "host", source)
    y = np.concatenate([np.zeros(circuit.n), np.ones(4 * circuit.n)])
    tolerance = np.concatenate([np.full(circuit.n, 1e-10), np.full(4 * circuit.n, 1e-9)])

    def crossing(t: float, state: Float) -> float:
        return circuit.over(t, state)

    crossing.terminal, crossing.direction = True, 1.0  # type: ignore[attr-defined]
    t, spikes = 0.0, []
    while t < duration_s:
        until = min(agenda.queue[0][0] if agenda.queue else duration_s, duration_s)
        if until > t:
            part = solve_ivp(circuit.slope, (t, until), y, method="DOP853", rtol=1e-10, atol=tolerance, events=crossing)
            assert part.success, part.message
            t, y = float(part.t[-1]), part.y[:, -1]
            if part.status == 1:
                over = (y[: circuit.n] - np.log(circuit.threshold / IO)) * circuit.free
                neuron = int(np.argmax(np.where(circuit.free > 0, over, -np.inf)))
                y[neuron], circuit.free[neuron] = 0.0, 0.0
                spikes.append((t, neuron))
                agenda.put(t + circuit.refractory[neuron], "free", neuron)
                agenda.send(circuit.n_inputs + neuron, t)
                continue
        while agenda.queue and agenda.queue[0][0] <= t < duration_s:
            when, _, kind, what = heapq.heappop(agenda.queue)
            agenda.happen(when, kind, what)
    return spikes
