"""A device: opened by name, loaded with a mapping, run with a stimulus, recorded.

`Device` keeps the contract's states, checks and bookkeeping; an author writes `_load`, `_run`, `_reset`, `_close`.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs
import numpy as np

from hal import intake
from hal.capabilities import require
from hal.config import OpenOptions
from hal.errors import ConfigError, DeviceTimeoutError, HalError, Problem, StateError
from hal.events import BatchStimulus, Port, Probe, Stimulus
from hal.fit import Finding
from hal.probes import probed_events, recorded_events
from hal.spec import COUNTERS, Clock, Column, DeviceSpec, Reset
from hal.watch import Watch, alone

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from hal.host import HostParts
    from hal.mapping import Mapping
    from hal.recorder import Recorder, RunHeader
    from hal.recording import BatchRecording, Recording

__all__ = ["COUNTERS", "Clock", "Column", "Device", "DeviceSpec", "Reset"]


class Device(ABC):
    """A chip or its emulator. Use as a context manager; every method may be called in every state.

    States: "open" (nothing loaded), "loaded", "closed". A run that was broken off (time-out, Ctrl-C, error) leaves the
    device loaded but of unknown dynamics: the next run needs a reset or load first, and says so.
    """

    def __init__(
        self,
        spec: DeviceSpec,
        *,
        kind: str = "emulator",
        serial: str | None = None,
        profile: Any = None,
        seed: int = 0,
        options: OpenOptions | None = None,
    ) -> None:
        self.spec = spec
        self.kind = kind
        self.serial = serial
        self.profile = profile
        self.seed = seed
        self.options = options if options is not None else spec.open_options()
        self.plugin: str | None = None
        """Distribution and version of the plugin; set by the registry."""
        self._lock = threading.RLock()
        self._state: Literal["open", "loaded", "closed"] = "open"
        self._mapping: Mapping | None = None
        self._host: HostParts | None = None
        self._run_number = 0
        self._t0_ns = 0
        self._broken_off = False
        self._partial: Recording | None = None
        self._origin: dict[str, Any] = {}

    # --- what an author writes ---------------------------------------------------------------------------------

    @abstractmethod
    def _load(self, mapping: Mapping) -> None:
        """Take in a mapping made for this device; dynamics start from the mapping's initial state."""

    @abstractmethod
    def _run(self, stimulus: intake.Checked, duration_ns: int, recorder: Recorder) -> None:
        """Run, pushing what comes out into `recorder`, and call `recorder.advance(t_ns)` at least every 0.1 s.

        stimulus has an entry for every input port of the chip and every `@` port: checked, sorted event arrays, or
        Signals. Times are model ns since the start of this run. A chip that stalled says so with
        `recorder.distrust(finding)`: the recording is then "untrusted".
        """

    @abstractmethod
    def _reset(self, mode: Reset) -> None:
        """Reset dynamics (STATE, LOADED) or forget what was loaded (CONFIG, POWER)."""

    def _close(self) -> None:
        """Let go of what is held."""

    def _run_batch(self, stimulus: intake.Batch, duration_ns: int, workers: int) -> BatchRecording | None:
        """Run independent samples, each from Reset.STATE; None (the default) asks for the loop."""
        return None

    # --- what users call ---------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "open", "loaded" or "closed"."""
        return self._state

    @property
    def mapping(self) -> Mapping:
        """What is loaded; StateError when nothing is."""
        self._require_open()
        if self._mapping is None:
            raise StateError(
                f"nothing is loaded on {self.spec.name}", hint="call load(mapping) first", state=self.state
            )
        return self._mapping

    @property
    def partial(self) -> Recording | None:
        """What was recorded of the last run if it was broken off, whatever broke it off."""
        return self._partial

    @property
    def run_number(self) -> int:
        """How many runs there were since load or Reset.LOADED; a batch of B counts as B."""
        return self._run_number

    @property
    def t0_ns(self) -> int:
        """Model time at which the next run starts."""
        return self._t0_ns

    def rng(self) -> np.random.Generator:
        """The noise stream of the present run: a function of (seed, run number) alone."""
        return np.random.default_rng([self.seed, self._run_number])

    @alone
    def load(self, mapping: Mapping) -> None:
        """Put a mapping on the chip. Raises StateError when closed, ConfigError when it was made for another device."""
        from hal.host import HostParts
        from hal.mapping import Mapping

        self._require_open()
        if not isinstance(mapping, Mapping):
            hint = (
                "hal.read_mapping reads a saved one" if isinstance(mapping, str | Path) else "hal.mapper(...).map(...)"
            )
            raise ConfigError("load takes a mapping", value=type(mapping).__name__, hint=hint)
        if mapping.device not in (self.spec.name, *self.spec.loads):
            raise ConfigError(
                f"this mapping was made for {mapping.device}, the device is {self.spec.name}",
                hint=f"map again with hal.mapper({self.spec.name!r})",
                problems=[
                    Problem("wrong device", "mapping.device", mapping.device, (self.spec.name, *self.spec.loads))
                ],
            )
        own = getattr(self.profile, "id", None)
        if mapping.profile_id is not None and mapping.profile_id != own:
            raise ConfigError(
                "this mapping was made for another individual",
                problems=[Problem("wrong individual", "mapping.profile_id", mapping.profile_id, own)],
                hint="open with that profile, or map with this one",
            )
        # a load that fails half way leaves nothing that could be run
        self._drop_host()
        self._mapping, self._state = None, "open"
        self._load(mapping)
        if mapping.front is not None or mapping.back is not None:
            self._host = HostParts(mapping, self.spec.ports, seed=self.seed)
        self._mapping, self._state = mapping, "loaded"
        self._origin = self._provenance()
        self._run_number = self._t0_ns = 0
        self._broken_off = False

    @alone
    def reset(self, mode: Reset = Reset.STATE) -> None:
        """Go back; see `Reset`. Raises CapabilityError when the device does not declare that reset."""
        self._require_open()
        if not isinstance(mode, Reset):
            raise ConfigError("a reset is one of hal.Reset", value=mode, hint=", ".join(map(str, Reset)))
        require(self.spec.capabilities, f"reset.{mode.value}", self.spec.name, f"reset to {mode.value}")
        if self._mapping is not None:
            self._reset(mode)
            if self._host is not None:
                self._host.reset()
        self._t0_ns = 0
        if mode is not Reset.STATE:
            self._run_number = 0
        if mode in (Reset.CONFIG, Reset.POWER):
            self._drop_host()
            self._mapping, self._state = None, "open"
        self._broken_off = False

    @alone
    def run(
        self,
        stimulus: Stimulus,
        duration_ns: int,
        *,
        to: str | Path | None = None,
        recorder: Recorder | None = None,
        timeout_s: float | None = None,
    ) -> Recording:
        """Run for exactly `duration_ns` of model time and return what was recorded.

        Args:
            stimulus: per input port an event array, a raster (T, ...) of one row per step, or a Signal. A missing
                port is silence.
            duration_ns: model ns; a whole number of steps on a clocked device.
            to: a new directory to stream the recording into. Not together with `recorder`.
            recorder: where the output goes; default: memory.
            timeout_s: wall seconds after which the run is broken off with DeviceTimeoutError, whose data carries the
                recording so far.

        Raises:
            StateError: closed, nothing loaded, or broken off before without a reset.
            ConfigError: everything wrong with stimulus and duration, before anything runs.
        """
        mapping = self._ready()
        watch = Watch(timeout_s)
        limit = self._max_run_ns(self._t0_ns)
        ports, clocked = self._ports(), self._clocked()
        checked = intake.check(stimulus, ports, duration_ns, mapping.step_ns, limit, clocked=clocked)
        return self._run_checked(checked, int(duration_ns), self._recorder(to, recorder), watch)

    @alone
    def run_batch(
        self,
        stimuli: BatchStimulus,
        duration_ns: int,
        *,
        workers: int = 1,
        executor: Executor | None = None,
        timeout_s: float | None = None,
    ) -> BatchRecording:
        """Run B independent samples, each from Reset.STATE; the same as the loop of reset and run.

        Args:
            stimuli: per input port an EventBatch or a sequence of B stimuli; all keys have equal B.
            duration_ns: model ns, the same for all.
            workers: how many threads may be used; results do not depend on it.
            executor: any concurrent.futures.Executor (threads, processes, Dask's `client.get_executor()`), which runs
                samples on copies of this device; results do not depend on it. Not together with `workers`.
            timeout_s: wall seconds for the whole batch; the error's data carries the recordings so far.

        Raises:
            ConfigError: what cannot be run, before anything runs; hardware together with an executor.
            ExecutorError: workers died and their executor does not run their tasks again; `.data["recordings"]` has
                what came back, by number of the sample, and `.data["left"]` the numbers of the others.

        A sample whose run raises stops nothing: it is "untrusted", with the error among its diagnostics.
        """
        self._ready()
        if executor is not None:
            from hal import executing

            executing.check_executor(executor, self.kind, self.spec.name)
            if workers != 1:
                raise ConfigError("give either `workers` or `executor`, not both", workers=workers)
        if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
            raise ConfigError("workers must be a positive integer", workers=workers)
        watch = Watch(timeout_s)
        ports, limit, clocked = self._ports(), self._max_run_ns(0), self._clocked()
        batch = intake.check_batch(stimuli, ports, duration_ns, self.mapping.step_ns, limit, clocked=clocked)
        duration_ns = int(duration_ns)
        require(self.spec.capabilities, "reset.state", self.spec.name, "run_batch (it resets between samples)")
        self.reset(Reset.STATE)
        if executor is None:
            return self._batch_here(batch, duration_ns, workers, watch)
        from hal import executing

        here = functools.partial(self._batch_here, duration_ns=duration_ns, workers=1, watch=watch)
        return executing.run_batch(self, batch, duration_ns, executor, watch, here)

    def _batch_here(self, batch: intake.Batch, duration_ns: int, workers: int, watch: Watch) -> BatchRecording:
        """A checked batch on this device, which was reset."""
        from hal.recorder import MemoryRecorder
        from hal.recording import BatchRecording

        timeout_s = watch.timeout_s
        if self._host is None and timeout_s is None:
            # whatever breaks it off leaves dynamics that nobody knows
            self._broken_off = True
            try:
                done = self._floored_batch(batch, duration_ns, workers)
            except HalError:
                # one sample cannot be run: the loop finds out which, and runs the others
                done = None
            self._broken_off = False
            if done is not None:
                self._t0_ns = duration_ns
                self._run_number += len(batch)
                return done
        if self._host is not None and timeout_s is None:
            with contextlib.suppress(HalError):
                return BatchRecording.of(self._host_batch(self._host, batch, duration_ns, workers))
        recordings: list[Recording] = []
        for sample in batch:
            self.reset(Reset.STATE)
            try:
                recordings.append(self._run_checked(sample, duration_ns, MemoryRecorder(), watch))
            except DeviceTimeoutError as error:
                error.data["recordings"] = tuple(recordings)
                raise
            except Exception as error:
                if self._partial is None:
                    raise
                reason = f"the run broke off: {type(error).__name__}: {error}"
                finding = Finding(level="refused", node="", field="run", reason=reason)
                diagnostics = (*self._partial.diagnostics, finding)
                recordings.append(attrs.evolve(self._partial, status="untrusted", diagnostics=diagnostics))
                self._t0_ns = duration_ns
                self._run_number += 1
        return BatchRecording.of(recordings)

    @alone
    def close(self) -> None:
        """Let go of the device; may be called again."""
        if self._state != "closed":
            self._drop_host()
            self._state, self._mapping = "closed", None
            self._close()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.RLock())

    def __repr__(self) -> str:
        return f"<{self.spec.name} ({self.kind}), {self.state}, {self._run_number} runs>"

    # --- bookkeeping -------------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._state == "closed":
            raise StateError(f"{self.spec.name} is closed", hint="open it again with hal.open", state="closed")

    def _ready(self) -> Mapping:
        self._require_open()
        mapping = self.mapping
        if self._broken_off:
            raise StateError(
                f"the last run of {self.spec.name} was broken off; its dynamics are unknown",
                hint="call reset() or load() first",
                state=self.state,
            )
        return mapping

    def _ports(self) -> tuple[Port, ...]:
        return self.mapping.inputs + self.spec.ports

    def _clocked(self) -> bool:
        """Whether runs last whole steps: on clocked devices, with a part on the host, and where values go out."""
        values = any(port.kind == "signal" for port in self.mapping.outputs)
        return self.spec.clock.kind == "clocked" or self._host is not None or values

    def _max_run_ns(self, t0_ns: int) -> int:
        """The longest run: the device's own limit, and times that fit into 64 bits."""
        limit = self.spec.clock.max_run_ns
        left = int(np.iinfo(np.int64).max) - t0_ns
        return left if limit is None else min(left, int(limit * self.mapping.speedup))

    def _drop_host(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None

    def _recorder(self, to: str | Path | None, recorder: Recorder | None) -> Recorder:
        from hal.recorder import ArrowRecorder, MemoryRecorder, Recorder

        if recorder is not None and not isinstance(recorder, Recorder):
            raise ConfigError("recorder= takes a hal.Recorder", value=type(recorder).__name__)
        if to is not None and (not isinstance(to, str | Path) or "\0" in str(to)):
            raise ConfigError("to= takes the path of a new directory", value=repr(to))
        if to is not None and recorder is not None:
            raise ConfigError("give either `to` or `recorder`, not both", to=str(to), recorder=repr(recorder))
        if recorder is not None:
            return recorder
        return MemoryRecorder() if to is None else ArrowRecorder(to)

    def _header(self, duration_ns: int, stimulus: intake.Checked) -> RunHeader:
        from hal.recorder import RunHeader

        return RunHeader(
            device=self.spec.name,
            kind=self.kind,
            nodes={port.name: port.shape for port in self.mapping.outputs if port.kind == "events"} | self._probed(),
            signals={port.name: port.shape for port in self.mapping.outputs if port.kind == "signal"},
            traces=tuple(self._trace(probe) for probe in self.mapping.record if probe.variable != "spikes"),
            cores=self.spec.cores,
            counters=self.spec.all_counters,
            t0_ns=self._t0_ns,
            duration_ns=duration_ns,
            step_ns=self.mapping.step_ns,
            run=self._run_number,
            seed=self.seed,
            provenance={key: dict(value) if isinstance(value, dict) else value for key, value in self._origin.items()},
            stimulus=dict(stimulus),
            mapping=self.mapping,
        )

    def recorded_events(self) -> dict[str, tuple[int, ...]]:
        """See `recorded_events`, for what is loaded."""
        return recorded_events(self.mapping)

    def _trace(self, probe: Probe) -> Probe:
        """The probe as recorded: what a node or a spike has once is one column."""
        once = any(o.variable == probe.variable and o.per != "neuron" for o in self.spec.observables)
        return attrs.evolve(probe, indices=(0,)) if once else probe

    def _probed(self) -> dict[str, tuple[int, ...]]:
        return probed_events(self.mapping)

    def _emit_inputs(self, stimulus: intake.Checked, recorder: Recorder) -> None:
        """Probed Inputs record what was fed in."""
        for name in self._probed():
            given = stimulus.get(name)
            if isinstance(given, np.ndarray):
                recorder.emit(name, given["t"], given["index"])

    def _provenance(self) -> dict[str, Any]:
        from hal import __version__
        from hal.config import to_json

        model = self.mapping.model
        return {
            "neurohal": __version__,
            "numpy": np.__version__,
            "plugin": self.plugin,
            "serial": self.serial,
            "options": to_json(self.options),
            "map_options": dict(self.mapping.options),
            "model": None if model is None else model.fingerprint,
            "semantics": None if model is None else model.semantics.to_json(),
            "profile_id": self.mapping.profile_id,
        }

    def _host_batch(self, host: HostParts, batch: intake.Batch, duration_ns: int, workers: int) -> list[Recording]:
        """Host parts as one batch each, the chip sample by sample. What raises leaves it to the loop."""
        from hal.recorder import MemoryRecorder

        first = self._run_number
        recorders = [MemoryRecorder() for _ in range(len(batch))]
        for b, (sample, recorder) in enumerate(zip(batch, recorders, strict=True)):
            self._run_number = first + b
            recorder.start(self._header(duration_ns, sample))

        def chip(b: int) -> Any:
            self._reset(Reset.STATE)
            self._run_number = first + b
            return self._run

        self._broken_off = True
        try:
            floored = [intake.floored(sample, self._quantum_ns()) for sample in batch]
            for (stimulus, moved), recorder in zip(floored, recorders, strict=True):
                for finding in moved:
                    recorder.note(finding)
                self._emit_inputs(stimulus, recorder)
            host.run_batch(batch.replaced([stimulus for stimulus, _ in floored]), duration_ns, recorders, chip, workers)
        except HalError:
            self._run_number = first
            raise
        self._broken_off = False
        self._t0_ns, self._run_number = duration_ns, first + len(batch)
        return [recorder.finish("ok") for recorder in recorders]

    def _floored_batch(self, batch: intake.Batch, duration_ns: int, workers: int) -> BatchRecording | None:
        """`_run_batch` with times on the device's grid, and with what was fed in and moved among what it says."""
        floored, moved = intake.floored_batch(batch, self._quantum_ns())
        done = self._run_batch(floored, duration_ns, workers)
        if done is None or floored.columns == batch.columns:
            return done
        said = done.diagnostics or ((),) * len(batch)
        return attrs.evolve(
            done,
            diagnostics=tuple((*notes, *own) for notes, own in zip(moved, said, strict=True)),
            stimuli=batch,
        )

    def _quantum_ns(self) -> int:
        """The grid of input times in model ns."""
        return max(1, round(self.spec.clock.quantum_in_ns * self.mapping.speedup))

    def _run_checked(self, stimulus: intake.Checked, duration_ns: int, recorder: Recorder, watch: Watch) -> Recording:
        """One run of a checked stimulus; numbers and times move on only when it ends well."""
        floored, moved = intake.floored(stimulus, self._quantum_ns())
        self._partial = None
        with self._recorded(recorder, self._header(duration_ns, stimulus), watch) as box:
            if self._t0_ns and "run.continue" not in self.spec.capabilities:
                reason = "this device does not go on from the exact state in which the last run ended"
                recorder.note(Finding(level="note", node="", field="run.continue", reason=reason))
            for finding in moved:
                recorder.note(finding)
            self._emit_inputs(floored, recorder)
            if self._host is None:
                self._run(floored, duration_ns, recorder)
            else:
                self._host.run(floored, duration_ns, recorder, self._run, watch)
        recording: Recording = box[0]
        self._t0_ns += duration_ns
        self._run_number += 1
        return recording

    @contextlib.contextmanager
    def _recorded(self, recorder: Recorder, header: RunHeader, watch: Watch) -> Iterator[list[Any]]:
        """Start and finish the recorder around a run; whatever breaks it off, what was recorded is kept."""
        box: list[Any] = []
        recorder.start(header)
        recorder.on_advance.append(watch)
        try:
            yield box
            recorder.advance(header.duration_ns)
            box.append(recorder.finish("ok"))
        except BaseException as error:
            self._broken_off = True
            with contextlib.suppress(StateError):  # finish itself may be what failed
                self._partial = recorder.finish("interrupted")
            if isinstance(error, DeviceTimeoutError):
                error.data["recording"] = self._partial
            raise
        finally:
            recorder.on_advance.remove(watch)
