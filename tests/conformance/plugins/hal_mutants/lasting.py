"""What lasts over runs and closing, other lengths of a step, events off the grid, ports of the chip itself."""

import attrs
import numpy as np

from hal.device import Reset
from hal.errors import ConfigError
from hal.events import Port
from hal.fit import Finding
from hal.mapper import Plan
from hal_mutants.catalogue import fault
from hal_mutants.counting import Counts
from hal_mutants.mixins import Feed, Plain, PlainMapper
from hal_mutants.semantics import Slow

# --- closing --------------------------------------------------------------------------------------------------------


@fault(
    "open-when-broken-off", {"LOAD-006": "after a run was broken off: a device that was closed is in state 'loaded'"}
)
class OpenWhenBrokenOff(Plain):
    """Stays open when it is closed after a run that was broken off."""

    def close(self):
        if not self._broken_off:
            super().close()


@fault("closes-once", {"LOAD-006": "closed already"})
class ClosesOnce(Plain):
    """Cannot be closed again once it has been loaded."""

    loaded_once = False

    def load(self, mapping):
        super().load(mapping)
        self.loaded_once = True

    def close(self):
        if self.loaded_once and self.state == "closed":
            raise ConfigError("closed already", hint="close it once")
        super().close()


@fault("lost-when-closed", {"LOAD-006": "a fresh one runs 'untrusted'"})
class LostWhenClosed(Plain):
    """Takes down with it what devices share, when it is closed."""

    lost = False

    def _close(self):
        super()._close()
        type(self).lost = True

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        if self.lost:
            recorder.distrust(Finding(level="refused", node="", field="board", reason="the board is gone"))


# --- memory ---------------------------------------------------------------------------------------------------------


@fault("logs-steps", {"RUN-016": "a run of 32768 steps holds"})
class LogsSteps(Plain):
    """Keeps four numbers of every step until the next run."""

    def _run(self, stimulus, duration_ns, recorder):
        self.log = np.zeros((duration_ns // self.mapping.step_ns, 4))
        super()._run(stimulus, duration_ns, recorder)


# --- what is under way ----------------------------------------------------------------------------------------------


@fault("pends-nothing", {"RUN-017": "0 of 1 spikes came within the run, and pending is 0"}, on="loihi")
class PendsNothing(Counts):
    """Does not count what is under way."""

    def counted(self, recorder, counter, per_core):
        if counter != "pending":
            recorder.count(counter, per_core)


@fault("pends-nothing", {"RUN-017": "0 of 1 spikes came within the run, and pending is 0"}, on="toy")
class SlowPendsNothing(Slow, PendsNothing):
    """Takes a step for each connection, and does not count what is under way."""


@fault("pends-for-ever", {"RUN-017": "after a silent run, something is still pending"})
class PendsForEver(Counts):
    """Counts an event as under way that never arrives."""

    def counted(self, recorder, counter, per_core):
        recorder.count(counter, per_core + (counter == "pending"))


@fault("loses-pending", {"RUN-017": "an event in the last step, and silence: 0 spikes"}, on="loihi")
class LosesPending(Plain):
    """Loses what is under way at the end of a run."""

    def _run(self, stimulus, duration_ns, recorder):
        super()._run(stimulus, duration_ns, recorder)
        self._reset(Reset.STATE)


@fault("loses-pending", {"RUN-017": "an event in the last step, and silence: 0 spikes"}, on="toy")
class SlowLosesPending(Slow, LosesPending):
    """Takes a step for each connection, and loses what is under way at the end of a run."""


# --- the length of a step -------------------------------------------------------------------------------------------


def _stepped(model, dt_ns):
    return model.with_semantics(attrs.evolve(model.semantics, dt_ns=dt_ns))


@fault("steps-of-1-ms", {"RUN-018": "of the spikes agree with those at 1000000 ns"})
class StepsOf1Ms(PlainMapper):
    """Steps by the millisecond, whatever the model and its own mapping say."""

    def _plan(self, model, *args):
        return attrs.evolve(super()._plan(_stepped(model, 1_000_000), *args), step_ns=model.semantics.dt_ns)


@fault("halves-long-steps", {"RUN-018": "dt of 20000000 ns: the mapping's steps are of 10000000 ns"})
class HalvesLongSteps(PlainMapper):
    """Takes two steps for one that is longer than 10 ms."""

    def _plan(self, model, *args):
        return super()._plan(_stepped(model, min(model.semantics.dt_ns or 0, 10_000_000) or None), *args)


@fault("refuses-steps", {"RUN-018": "dt of 250000 ns: refused, and nobody says why"})
class RefusesSteps(PlainMapper):
    """Refuses other steps than those of 1 ms, and does not say why."""

    def _plan(self, model, *args):
        if model.semantics.dt_ns == 1_000_000:
            return super()._plan(model, *args)
        return Plan(findings=[Finding(level="refused", node="", field="", reason="not this one")])


# --- events off the grid --------------------------------------------------------------------------------------------


@fault("late-events-wait", {"STIM-005": "events later within their step are answered otherwise"})
class LateEventsWait(Feed):
    """Counts an event within a step for the next one."""

    def feed(self, value):
        step_ns = self.mapping.step_ns
        moved = value.copy()
        moved["t"] = -(-value["t"] // step_ns) * step_ns
        return moved


@fault("ticks", {})
class Ticks(Plain):
    """In order: takes in events on a grid of 0.1 ms."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, clock=attrs.evolve(spec.clock, quantum_in_ns=100_000))


@fault("ticks-in-silence", {"STIM-005": "off the quantum of 100000 ns were moved, and no diagnostic says so"})
class TicksInSilence(Ticks):
    """Moves events to its own grid of 0.1 ms, and does not say so."""

    def _quantum_ns(self):
        return 1

    def _run(self, stimulus, duration_ns, recorder):
        moved = {name: value.copy() for name, value in stimulus.items()}
        for value in moved.values():
            value["t"] -= value["t"] % 100_000
        super()._run(moved, duration_ns, recorder)


# --- ports ----------------------------------------------------------------------------------------------------------


@fault("ported", {})
class Ported(Plain):
    """In order: has a port for events and one for signals, and nothing behind them."""

    @staticmethod
    def declare(spec):
        return attrs.evolve(spec, ports=(Port("@x", (2,)), Port("@y", (3,), "signal")))

    def _run(self, stimulus, duration_ns, recorder):
        own = {port.name for port in self.spec.ports}
        super()._run({name: value for name, value in stimulus.items() if name not in own}, duration_ns, recorder)


@fault("takes-unknown-ports", {"STIM-006": "an unknown port should raise ConfigError"})
class TakesUnknownPorts(Plain):
    """Ignores what is fed to ports that it does not have."""

    def run(self, stimulus, duration_ns, **more):
        known = {port.name for port in self._ports()}
        return super().run({name: value for name, value in stimulus.items() if name in known}, duration_ns, **more)


@fault("takes-any-index", {"STIM-006": "@x: index 2 should raise ConfigError"})
class TakesAnyIndex(Ported):
    """Ignores events at its own port that are out of range."""

    def run(self, stimulus, duration_ns, **more):
        kept = dict(stimulus)
        if "@x" in kept:
            kept["@x"] = kept["@x"][kept["@x"]["index"] < 2]
        return super().run(kept, duration_ns, **more)


@fault("names-no-port", {"STIM-006": "the error does not name '@x'"})
class NamesNoPort(Ported):
    """Refuses a stimulus without saying what is wrong with it."""

    def run(self, stimulus, duration_ns, **more):
        try:
            return super().run(stimulus, duration_ns, **more)
        except ConfigError as error:
            raise ConfigError("the stimulus cannot be run", hint="another one") from error


@fault("names-no-unknown-port", {"STIM-006": "the error does not name the port: the stimulus cannot be run"})
class NamesNoUnknownPort(NamesNoPort):
    """Has no ports, and refuses a stimulus for another without naming it."""

    @staticmethod
    def declare(spec):
        return spec


@fault("wants-its-port", {"STIM-006": "@x must be fed"})
class WantsItsPort(Ported):
    """Does not run where nothing is given for its own port."""

    def run(self, stimulus, duration_ns, **more):
        if "@x" not in stimulus:
            raise ConfigError("@x must be fed", hint="with silence")
        return super().run(stimulus, duration_ns, **more)


@fault("port-left-open", {"STIM-006": "@y left out, and fed with silence: spikes['output'] differ"})
class PortLeftOpen(Ported):
    """Loses its first event where nothing is given for its own port."""

    def run(self, stimulus, duration_ns, **more):
        if "@y" not in stimulus:
            stimulus = {name: value if name[0] == "@" else value[1:] for name, value in stimulus.items()}
        return super().run(stimulus, duration_ns, **more)
