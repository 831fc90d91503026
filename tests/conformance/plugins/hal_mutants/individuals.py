"""Noise, profiles and learning, which no base has: devices that do them right, and the same with one fault."""

import attrs
import numpy as np

from hal.config import Profile, setting
from hal.device import Reset
from hal_mutants.catalogue import fault
from hal_mutants.mixins import Plain, PlainMapper, Through

# --- noise ----------------------------------------------------------------------------------------------------------


@fault("noisy", {})
class Noisy(Plain):
    """In order: reads states through a converter that is noisy, reproducibly by seed."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, capabilities=spec.capabilities | {"noise.seeded"})

    def _run(self, stimulus, duration_ns, recorder):
        rng = self.noise()

        def sample(node, variable, t, values):
            noise = rng.normal(0, 0.01, values.shape) if variable == "v" else 0.0
            recorder.sample(node, variable, t, values + noise)

        super()._run(stimulus, duration_ns, Through(recorder, sample=sample))

    def noise(self):
        return self.rng()


@fault("noise-without-seed", {"NOIS-001": "two devices with seed 7"})
class NoiseWithoutSeed(Noisy):
    """Is noisy, and the same seed gives other noise."""

    def noise(self):
        return np.random.default_rng()


@fault("ignores-seed", {"NOIS-001": "seeds 7 and 8 give the same bytes"})
class IgnoresSeed(Noisy):
    """Is noisy, and any seed gives the same noise."""

    def noise(self):
        return np.random.default_rng([0, self.run_number])


@fault("noise-rewound", {"NOIS-002": "has the noise of the run before"})
class NoiseRewound(Noisy):
    """Gives each run the noise of the first one."""

    def noise(self):
        return np.random.default_rng([self.seed, 0])


@fault("noise-goes-on", {"NOIS-002": "run 0 after load"})
class NoiseGoesOn(Noisy):
    """Goes on with its noise over a load and a reset to LOADED."""

    def noise(self):
        self.runs = getattr(self, "runs", -1) + 1
        return np.random.default_rng([self.seed, self.runs])


@fault("noise-undeclared", {"NOIS-001": "not properly refused", "NOIS-002": "not properly refused"})
class NoiseUndeclared(Noisy):
    """Is noisy, and does not say so."""

    @staticmethod
    def declare(spec):
        return spec


# --- individuals ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Chip(Profile):
    offset: float = setting(0.0, doc="of all thresholds; nothing depends on it", unit="V", minimum=-1.0, maximum=1.0)


@fault("individual", {})
class Individual(Plain):
    """In order: tells individuals apart."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, capabilities=spec.capabilities | {"profile"}, profile=Chip)


@fault("takes-any-individual", {"PROF-001": "on another individual should raise ConfigError"})
class TakesAnyIndividual(Individual):
    """Loads what was made for another individual."""

    def load(self, mapping):
        super().load(attrs.evolve(mapping, profile_id=None))


@fault("forgets-individual", {"PROF-001": "the mapping is for None"})
class ForgetsIndividual(PlainMapper):
    """Maps for one individual, and does not say so in the mapping."""

    declare = Individual.declare

    def map(self, model, options=None, **more):
        return attrs.evolve(super().map(model, options, **more), profile_id=None)


# --- learning -------------------------------------------------------------------------------------------------------


def _learning(options):
    """A class of options with one more."""
    words = {"__annotations__": {"learning": bool}, "learning": setting(False, doc="let busy channels count twice")}
    return attrs.frozen(kw_only=True)(type(f"Learning{options.__name__}", (options,), words))


@fault("learner", {})
class Learner(Plain):
    """In order: an event counts twice on a channel that has had more than a hundred since the device was loaded."""

    @staticmethod
    def declare(spec):
        capabilities = spec.capabilities | {"learning.on_chip"}
        return attrs.evolve(spec, capabilities=capabilities, map_options=_learning(spec.map_options))

    def _load(self, mapping):
        super()._load(mapping)
        self.learning = mapping.options.get("learning", False)
        self.heard = {}

    def _reset(self, mode):
        super()._reset(mode)
        if mode is not Reset.STATE:
            self.heard = {}

    def _run(self, stimulus, duration_ns, recorder):
        fed = dict(stimulus)
        for name, value in stimulus.items():
            if self.learning and isinstance(value, np.ndarray) and name[0] != "@":
                fed[name] = self.strengthened(name, value)
        super()._run(fed, duration_ns, recorder)

    def strengthened(self, name, events):
        counts = self.heard.setdefault(name, np.zeros(1 << 12, np.int64))
        twice = np.repeat(events, 1 + (counts[events["index"]] > 100))
        np.add.at(counts, events["index"], 1)
        return twice


@fault("never-learns", {"LRN-001": "are answered as without"})
class NeverLearns(Learner):
    """Takes the wish to learn, and learns nothing."""

    def strengthened(self, name, events):
        return events


@fault("learns-unasked", {"LRN-001": "are answered as without"})
class LearnsUnasked(Learner):
    """Learns whether it is asked to or not."""

    def _load(self, mapping):
        super()._load(mapping)
        self.learning = True


@fault("forgets-by-state", {"LRN-001": "a reset to STATE forgets what was learned"})
class ForgetsByState(Learner):
    """Forgets what was learned by a reset to STATE."""

    def _reset(self, mode):
        super()._reset(mode)
        self.heard = {}


@fault("remembers-when-loaded", {"LRN-002": "after a reset to LOADED, and at first"})
class RemembersWhenLoaded(Learner):
    """Keeps what was learned over a reset to LOADED."""

    def _reset(self, mode):
        heard = self.heard
        super()._reset(mode)
        self.heard = heard


@fault("remembers-after-load", {"LRN-002": "after load, and at first"})
class RemembersAfterLoad(Learner):
    """Keeps what was learned when the mapping is loaded again."""

    def _load(self, mapping):
        heard = getattr(self, "heard", {})
        super()._load(mapping)
        self.heard = heard
