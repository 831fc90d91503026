"""What only a device without steps shows: crowds, echoes, thresholds between steps, lengths of steps, other clocks."""

import attrs
import numpy as np

from hal_conformance.networks.witness import STEP_NS
from hal_dynapse2.biases import actual, nearest
from hal_dynapse2.config import PARAMETERS
from hal_dynapse2.limits import CAM_ENTRIES, CORES, TAGS
from hal_dynapse2.routes import packets
from hal_mutants.catalogue import fault
from hal_mutants.elsewhere import DistrustsOthers, RunsOthersOtherwise, loading
from hal_mutants.mixins import Emit, Feed, Plain, PlainMapper

ROOM = 100
"""Events at one time that are taken in."""


@fault("hears-a-hundred", {"OVR-002": "156 neurons are silent, 0 answer more than once, and no counter"}, on="dynapse2")
class HearsAHundred(Feed):
    """Loses all but a hundred events of one time, and counts nothing."""

    def feed(self, value):
        first = np.searchsorted(value["t"], value["t"])
        return value[np.arange(value.size) - first < ROOM]


@fault("echoes-crowds", {"OVR-002": "0 neurons are silent, 4 answer more than once, and no counter"}, on="dynapse2")
class EchoesCrowds(Emit):
    """Gives every spike twice, 10 us apart."""

    def change(self, node, t, index, duration_ns):
        again = np.minimum(t + 10_000, duration_ns - 1)
        order = np.argsort(np.concatenate([t, again]), kind="stable")
        return np.concatenate([t, again])[order], np.concatenate([index, index])[order]


class Rewired(Plain):
    """Runs other registers than the mapping's."""

    def _load(self, mapping):
        super()._load(attrs.evolve(mapping, config=self.rewired(mapping.config)))


@fault("high-threshold", {"RUN-002": "19 spikes of 'output', wanted 45", "AGR-001": "demanded 0.8"}, on="dynapse2")
class HighThreshold(Rewired):
    """Has thresholds 30 % above those in its registers."""

    def rewired(self, config):
        at, cores = PARAMETERS.index("SOIF_SPKTHR_P"), config.cores
        made = nearest("SOIF_SPKTHR_P", 1.3 * actual("SOIF_SPKTHR_P", cores.coarse[:, at], cores.fine[:, at]))
        coarse, fine = cores.coarse.copy(), cores.fine.copy()
        coarse[:, at], fine[:, at] = made.coarse, made.fine
        return attrs.evolve(config, cores=attrs.evolve(cores, coarse=coarse, fine=fine))


@fault("deaf-to-feedback", {"ROUT-003": "neurons that feed themselves, feedback to the same population"}, on="dynapse2")
class DeafToFeedback(Rewired):
    """Does not deliver what neurons send to themselves and to those before them."""

    def rewired(self, config):
        source, core, tag = packets(config)
        sender = np.full(config.chips.x.size * CORES * TAGS, -1)
        sender[core * TAGS + tag] = source - config.n_inputs
        row = np.repeat(np.arange(config.neurons.chip.size), CAM_ENTRIES)
        heard = sender[config.neurons.core_place[row] * TAGS + config.cam.tag.ravel()]
        first = np.concatenate([np.full(run.size, run.first) for run in config.populations])
        mask = np.where(heard >= first[row], 0, config.cam.mask.ravel()).astype(np.uint8)
        return attrs.evolve(config, cam=attrs.evolve(config.cam, mask=mask.reshape(config.cam.mask.shape)))


@fault("two-steps-late", {"RUN-002": "50 spikes of 'output', wanted 50, 5 agree"}, on="dynapse2")
class TwoStepsLate(Emit):
    """Stamps spikes two steps later than they are."""

    def change(self, node, t, index, duration_ns):
        there = t + 2 * STEP_NS < duration_ns
        return t[there] + 2 * STEP_NS, index[there]


@fault("one-step-for-all", {"RUN-018": "dt of 250000 ns: 26.3% of the spikes agree"}, on="dynapse2")
class OneStepForAll(PlainMapper):
    """Takes every step for one of a millisecond."""

    def _plan(self, model, options, record, like, seed, rates_hz):
        same = attrs.evolve(model, semantics=attrs.evolve(model.semantics, dt_ns=STEP_NS))
        plan = super()._plan(same, options, record, like, seed, rates_hz)
        return attrs.evolve(plan, step_ns=model.semantics.dt_ns)


@fault("loads-other-clock", {}, on="dynapse2")
class LoadsOtherClock(RunsOthersOtherwise):
    """In order: runs mappings of a clocked device, in a way of its own."""

    declare = loading("dynapse2-dynapsim")


@fault("distrusts-other-clock", {"MAP-015": "a mapping made for dynapse2-dynapsim runs 'untrusted'"}, on="dynapse2")
class DistrustsOtherClock(DistrustsOthers):
    """Trusts no run on the mappings of a clocked device."""

    declare = loading("dynapse2-dynapsim")
