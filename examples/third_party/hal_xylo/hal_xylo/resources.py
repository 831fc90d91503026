"""All that a part has a limited amount of, as data."""

from __future__ import annotations

from hal.fit import Resource
from hal_xylo import limits
from hal_xylo.limits import Part


def resources(part: Part) -> tuple[Resource, ...]:
    """All that a part has a limited amount of."""
    overview = "overview of the family"
    guess = "assumption: mean fan-out of the overview times hidden neurons"
    ends = f"{overview}; as ids of the network's hidden neurons (rockpool 3.1.0)"
    several = (
        ("input channels", "channels", limits.INPUT_CHANNELS, overview),
        ("hidden neurons", "neurons", part.hidden, overview),
        ("output neurons", "neurons", part.outputs, overview),
        ("synapses", "currents of a hidden neuron", part.synapses, overview),
        ("output synapses", "currents of an output neuron", limits.SYNAPSES_OUT, overview),
        ("aliases", "aliases of a neuron", limits.ALIASES, overview),
        ("fan-out", "hidden targets of a neuron", part.fan_out, overview),
        ("recurrent entries", "entries", part.entries, guess),
        ("input neurons", "lowest ids", part.into, ends),
        ("readout neurons", "highest ids", part.out_of, ends),
    )
    found = [
        Resource(name=name, unit=unit, scope="chip", limit=(float(limit),), source=source)
        for name, unit, limit, source in several
    ]
    clock = "rockpool 3.1.0: default of the kits, and its model of cycles"
    cycles = Resource(
        name="clock cycles", unit="cycles/s", scope="chip", limit=(limits.CLOCK_HZ,), when="run", source=clock
    )
    return (*found, cycles)
