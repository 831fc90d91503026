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
    several = [
        ("input channels", "channels", limits.INPUT_CHANNELS, overview),
        ("hidden neurons", "neurons", part.hidden, overview),
        ("output neurons", "neurons", part.outputs, overview),
        ("recurrent entries", "entries", part.entries, guess),
    ]
    # a limit that others do not let anybody reach is none
    if part.synapses > 1:
        several.append(("synapses", "currents of a hidden neuron", part.synapses, overview))
    if part.fan_out < part.hidden:
        several.append(("fan-out", "hidden targets of a neuron", part.fan_out, overview))
    if part.into < part.hidden:
        several.append(("input neurons", "lowest ids", part.into, ends))
        several.append(("readout neurons", "highest ids", part.out_of, ends))
    found = [
        Resource(name=name, unit=unit, scope="chip", limit=(float(limit),), source=source)
        for name, unit, limit, source in several
    ]
    most = Resource(
        name="input events",
        unit="events per channel and step",
        scope="channel",
        limit=(float(limits.MAX_INPUT),),
        when="run",
        source=overview,
    )
    clock = "rockpool 3.1.0: default of the kits, and its model of cycles"
    cycles = Resource(
        name="clock cycles", unit="cycles/s", scope="chip", limit=(limits.CLOCK_HZ,), when="run", source=clock
    )
    return (*found, most, cycles)
