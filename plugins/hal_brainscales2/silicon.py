"""From registers to the emulator's arrays: who hears whom by labels, targets as parameters, the individual's spread."""

from __future__ import annotations

from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from hal.fit import Finding
from hal_brainscales2.background import occurring
from hal_brainscales2.config import BrainScaleS2Config
from hal_brainscales2.limits import BUSES, CADC_RELIABLE, host_output
from hal_brainscales2.options import OpenOptions
from hal_brainscales2.placement import Placement
from hal_brainscales2.refractory import period_s
from hal_brainscales2.routes import Heard, passes, verify
from hal_brainscales2.routing import Tables
from hal_emulators.cuba import Network, Neurons, Synapses

Floats = NDArray[np.float64]

_SILICON: Final[dict[str, Any]] = {
    "stamps": True, "adc": True, "clipping": True, "spread": 0.0, "link_event_s": 8e-9,
}  # fmt: skip
PRESETS: Final[dict[str, dict[str, Any]]] = {
    "ideal": {
        **dict.fromkeys(("stamps", "adc", "clipping"), False),
        **dict.fromkeys(("offset_s", "jitter_s", "spread", "link_event_s"), 0.0),
    },
    "chip": {"offset_s": 0.0, "jitter_s": 0.0, **_SILICON},
    "mock": {"offset_s": 1e-7, "jitter_s": 1e-7, **_SILICON},
}


def resolved(options: OpenOptions) -> OpenOptions:
    """With what the preset says of all that was not given."""
    said = {name: value for name, value in PRESETS[options.preset].items() if getattr(options, name) is None}
    return attrs.evolve(options, **said)


def heard(config: BrainScaleS2Config) -> Heard:
    """Who hears whom, by the registers alone. Sources: channels, what background sources can send, then neurons."""
    return verify(places(config), tables(config))


def told(config: BrainScaleS2Config) -> list[Finding]:
    """Sources that are one where they arrive, which is refused; and synapses of circuits that are nobody's."""
    found = heard(config)
    made = [
        Finding(
            level="refused",
            node="",
            field="routing",
            reason=f"{confusion}, so they are one where they arrive",
            hint="another label, or row selects and masks that do not meet",
        )
        for confusion in found.confusions
    ]
    return made + [Finding(level="note", node="", field="routing", reason=text) for text in found.unowned]


def places(config: BrainScaleS2Config) -> Placement:
    """Circuits, as the allocator has them."""
    ptr = np.searchsorted(config.circuits.neuron, np.arange(config.size + 1))
    return Placement(ptr, config.circuits.circuit.astype(np.int64))


def tables(config: BrainScaleS2Config) -> Tables:
    """The registers that events meet, background sources included."""
    routing = config.routing
    none = np.zeros(0, np.int64)
    own_source, own_label = occurring(config.background)
    return Tables(
        n_external=config.n_inputs,
        neuron_label=config.neuron_label.astype(np.int64),
        event_source=config.host.channel.astype(np.int64),
        event_label=config.host.label.astype(np.int64),
        crossbar_mask=routing.crossbar_mask.astype(np.int64),
        crossbar_target=routing.crossbar_target.astype(np.int64),
        driver_group=np.where(routing.driver_on, 0, -1),
        driver_mask=routing.driver_mask.astype(np.int64),
        row_sign=routing.row_sign.astype(np.int64),
        weight=routing.weight,
        label=routing.label,
        unit_connection=none,
        unit_hemisphere=none,
        unit_row=none,
        unit_column=none,
        background_source=own_source,
        background_label=own_label,
    )


def to_host(config: BrainScaleS2Config) -> NDArray[np.bool_]:
    """(n,): neurons whose events the crossbar lets out to the host."""
    out, label = np.zeros(config.size, np.bool_), config.neuron_label.astype(np.int64)
    output = places(config).output
    for link in range(BUSES):
        out[passes(tables(config), output, label, host_output(link))] = True
    return out


def refractory(config: BrainScaleS2Config) -> tuple[Floats, Floats]:
    """(n,) s each, by the registers: period without spikes, and its last part in which the membrane is free."""
    made = config.refractory
    cycle = period_s(np.where(made.fast, made.fast_scale, made.slow_scale))
    counter, code = made.counter.astype(np.int64), made.holdoff_code.astype(np.int64)
    return counter * cycle, np.minimum(31 - 2 * code, counter) * cycle


def network(config: BrainScaleS2Config, options: OpenOptions) -> Network:
    """The emulator of a configuration. Its input channels: those of the host, then what background sources can send."""
    n, targets = config.size, config.targets
    distance = targets.threshold - targets.leak
    period, free = refractory(config)
    spread = _spread(config, options)
    neurons = Neurons(
        size=n,
        tau_mem=targets.tau_mem * spread[0],
        tau_syn=targets.tau_syn * spread[1],
        v_leak=np.zeros(n),
        v_th=np.where(targets.comparator, spread[2], np.inf),
        v_reset=(targets.reset - targets.leak) / distance,
        t_ref=period,
        t_holdoff=free,
        **_bounds(config, options),
    )
    found = heard(config)
    order = np.lexsort((found.target, found.source))
    source, target = found.source[order], found.target[order]
    weight = (found.excitation - found.inhibition)[order] / config.scale * spread[3][target]
    channels = config.n_inputs + occurring(config.background)[0].size
    ptr = np.searchsorted(source, np.arange(channels + n + 1))
    return Network(neurons, Synapses(ptr=ptr, target=target, weight=weight))


def _bounds(config: BrainScaleS2Config, options: OpenOptions) -> dict[str, Any]:
    """Of membranes, where the CADC's reliable range is taken for that of the circuits; and of currents.

    Membranes go as far as their own leak, reset and threshold all the same: standard thresholds go up to 220.
    """
    found: dict[str, Any] = {}
    targets = config.targets
    if options.clipping:
        distance = targets.threshold - targets.leak
        low, high = ((limit - targets.leak) / distance for limit in CADC_RELIABLE)
        reset = (targets.reset - targets.leak) / distance
        found = {"v_low": np.minimum(low, np.minimum(reset, 0.0)), "v_high": np.maximum(high, np.maximum(reset, 1.0))}
    if options.saturation is not None:
        found["i_max"] = np.full(config.size, options.saturation)
    return found


def _spread(config: BrainScaleS2Config, options: OpenOptions) -> Floats:
    """(4, n) factors on tau_mem, tau_syn, threshold and weights: of each circuit its own, whatever else is in use."""
    first = np.searchsorted(config.circuits.neuron, np.arange(config.size))
    circuits = config.circuits.circuit[first].astype(np.int64)
    made = np.ones((4, config.size))
    if options.spread:
        for k, circuit in enumerate(circuits.tolist()):
            drawn = np.random.default_rng([options.chip_seed, circuit]).standard_normal(4)
            made[:, k] = np.maximum(1.0 + options.spread * drawn, 0.1)
    return made
