"""What a check is given: fresh devices of one kind, witnesses that suit it, randomness of its own, comparisons."""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np

from hal import registry
from hal.agreement import agreement
from hal.device import Device, DeviceSpec
from hal.errors import DoesNotFitError, PluginError
from hal.events import EVENT, Probe, Records, Signal
from hal.evidence import Evidence, evidence
from hal.mapper import Mapper
from hal.mapping import Mapping as ChipMapping
from hal.model import Model
from hal.recording import Recording
from hal_conformance.failure import ConformanceFailure, demand, fail
from hal_conformance.networks.grown import sparse
from hal_conformance.networks.witness import STEP_NS, TAIL_STEPS, Witness, candidates, silence

STEPS = 96
"""Length of an ordinary run."""


@attrs.define(kw_only=True, slots=False)
class Subject:
    """The device under test, as all checks of one run share it."""

    name: str

    @cached_property
    def spec(self) -> DeviceSpec:
        """Its spec; PluginError when there is no such device, or its plugin does not load."""
        return registry.spec(self.name)

    @cached_property
    def evidence(self) -> Evidence:
        """What its plugin says in its favour, read once for all checks."""
        return evidence(self.name)

    @cached_property
    def witness(self) -> Witness | str:
        """The first candidate that fits, or why none does."""
        mapper = registry.mapper(self.name)
        first, tried = "", 0
        for candidate in candidates(self.spec.capabilities):
            tried += 1
            try:
                report = mapper.check(candidate.model)
            except Exception as error:
                text = f"check raised {type(error).__name__}: {error}"
            else:
                if report.fits:
                    return candidate
                text = "; ".join(map(str, report.problems()))
            first = first or f"the first ({candidate.label}): {text}"
        if not tried:
            return "it declares none of neuron.if, neuron.lif, neuron.cuba"
        return f"{tried} were tried; {first}"


class Context:
    """One check's view of the device. Whatever it opens or makes is cleared away afterwards."""

    def __init__(self, subject: Subject, check_id: str, limit_s: float) -> None:
        self.subject = subject
        self.name = subject.name
        self.spec = subject.spec
        self.capabilities = subject.spec.capabilities
        self.measured: dict[str, Any] = {}
        self.rng = np.random.default_rng([zlib.crc32(check_id.encode()), zlib.crc32(subject.spec.name.encode())])
        self._end = time.monotonic() + limit_s
        self._devices: list[Device] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    # --- devices -----------------------------------------------------------------------------------------------

    def open(self, **options: Any) -> Device:
        """A fresh device."""
        device = registry.open(self.name, **options)
        self._devices.append(device)
        return device

    def mapper(self, **options: Any) -> Mapper:
        """A fresh mapper."""
        return registry.mapper(self.name, **options)

    def loaded(self, mapping: ChipMapping | None = None, *, seed: int = 0) -> Device:
        """A fresh device with a mapping on it, the witness's by default."""
        device = self.open(seed=seed)
        device.load(self.mapping() if mapping is None else mapping)
        return device

    def run(self, device: Device, stimulus: Mapping[str, Any], duration_ns: int, **more: Any) -> Recording:
        """A run that ends in time for the check's own limit."""
        left = max(0.1, 0.8 * (self._end - time.monotonic()))
        return device.run(stimulus, duration_ns, timeout_s=left, **more)

    @property
    def left_s(self) -> float:
        """Wall seconds until the check's limit."""
        return self._end - time.monotonic()

    # --- witnesses ---------------------------------------------------------------------------------------------

    @property
    def witness(self) -> Witness:
        """A small network the device maps; the check fails where there is none."""
        found = self.subject.witness
        if isinstance(found, str):
            fail(f"{self.name} maps none of the suite's witness networks: {found}")
        return found

    def mapping(self, witness: Witness | None = None, *, record: Iterable[str | Probe] = ()) -> ChipMapping:
        """The witness mapped."""
        model = (self.witness if witness is None else witness).model
        try:
            return self.mapper().map(model, record=record)
        except DoesNotFitError as error:
            raise ConformanceFailure(f"the witness fitted when it was checked, and map refuses it: {error}") from error

    def stimulus(self, steps: int = STEPS) -> Records:
        """Random events for the witness, from the check's own stream."""
        return self.witness.stimulus(self.rng, steps)

    def fitting(self, sizes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
        """The first of several lists of layer sizes for which there is room; else the first of all."""
        for each in sizes:
            if self.mapper().check(sparse(self.witness, each).model).fits:
                return each
        return sizes[0]

    # --- comparisons -------------------------------------------------------------------------------------------

    @property
    def deterministic(self) -> bool:
        """Whether runs of different number or seed must be equal."""
        return "noise.seeded" not in self.capabilities

    def same(self, what: str, spikes: Records, wanted: Records, mapping: ChipMapping, node: str) -> None:
        """Fail unless the spikes of a node are those wanted, after its latency.

        Times are equal, except on a continuous device: there a spike may be a step away.
        """
        latency = mapping.latency_ns.get(node, 0)
        demand(
            0 <= latency <= (TAIL_STEPS - 1) * STEP_NS,
            f"latency_ns[{node!r}] is {latency}: the suite's witnesses allow 0 to {TAIL_STEPS - 1} steps",
        )
        size = 1 + max((int(train["index"].max()) for train in (spikes, wanted) if train.size), default=0)
        found = agreement(spikes, wanted, size, window_ns=self._window_ns, latency_ns=latency)
        if found.share == 1.0:
            return
        t, index = found.first_difference or (0, 0)
        demand(
            False,
            f"{what}: {found.spikes} spikes of {node!r}, wanted {found.reference}, {found.matched} agree; the first "
            f"without a partner: neuron {index} at {t} ns (latency {latency} ns taken off)",
        )

    def share(self, spikes: Records, wanted: Records, latency_ns: int = 0) -> float:
        """The share of spikes that agree, in the window of `same`: 1.0 for equal trains, as two empty ones are."""
        size = 1 + max((int(train["index"].max()) for train in (spikes, wanted) if train.size), default=0)
        return agreement(spikes, wanted, size, window_ns=self._window_ns, latency_ns=latency_ns).share

    @property
    def _window_ns(self) -> int:
        # a spike of a step may stand anywhere in it where there are no steps, and that of a layer behind as well
        return {"clocked": 0, "event": STEP_NS // 2, "continuous": STEP_NS}[self.spec.clock.kind]

    def equal(self, what: str, one: Recording, other: Recording) -> None:
        """Fail unless two recordings hold the same bytes: spikes, signals, traces, counters, intervals, status."""
        demand(one.status == other.status, f"{what}: status {one.status} and {other.status}")
        for kind in ("spikes", "signals", "traces", "stats"):
            a, b = getattr(one, kind), getattr(other, kind)
            demand(list(a) == list(b), f"{what}: {kind} of {list(a)} and of {list(b)}")
            for key in a:
                for left, right in zip(_columns(a[key]), _columns(b[key]), strict=True):
                    same = left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
                    demand(same, f"{what}: {kind}[{key!r}] differ: {_short(left)} and {_short(right)}")
        demand(np.array_equal(one.intervals, other.intervals), f"{what}: the intervals differ")

    # --- things to work with -----------------------------------------------------------------------------------

    def folder(self) -> Path:
        """An empty directory that is removed afterwards."""
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="hal-conformance-")
        return Path(self._folder.name)

    def measure(self, name: str, value: Any) -> None:
        """Put a number or a word into the report."""
        self.measured[name] = value

    def clear(self) -> None:
        """Close what is open; errors of closing are the device's fault and come through."""
        try:
            for device in self._devices:
                device.close()
        finally:
            self._devices.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None

    def on_ideal(
        self, model: Model, stimulus: Mapping[str, Any], duration_ns: int, record: Iterable[str] = ()
    ) -> Recording:
        """A run on the reference `ideal`; PluginError where it is not installed, DoesNotFitError for what it lacks."""
        mapper, device = self._reference
        device.load(mapper.map(model, record=record))
        return self.run(device, stimulus, duration_ns)

    @cached_property
    def _reference(self) -> tuple[Mapper, Device]:
        """Mapper and device of the reference, the same for all runs of a check."""
        try:
            mapper, device = registry.mapper("ideal"), registry.open("ideal")
        except PluginError as error:
            _no_reference(error)
        self._devices.append(device)
        return mapper, device


def _no_reference(error: PluginError) -> NoReturn:
    raise PluginError(
        "the reference device `ideal` cannot be opened", hint="it comes with neurohal; unblock its plugin"
    ) from error


def _columns(value: Any) -> tuple[Any, ...]:
    return (value.t, value.values) if isinstance(value, Signal) else (value,)


def _short(values: Any) -> str:
    return f"{values.shape} {values.dtype} {values.ravel()[:6].tolist()}"


def chunk(spikes: Records, t0_ns: int) -> Records:
    """Spikes of a run placed at its start."""
    out = spikes.astype(EVENT)
    out["t"] += t0_ns
    return out


def between(stimulus: Records, start_ns: int, end_ns: int) -> Records:
    """The events of a stretch of time, counted from its start."""
    part = stimulus[(stimulus["t"] >= start_ns) & (stimulus["t"] < end_ns)].copy()
    part["t"] -= start_ns
    return part


__all__ = ["STEPS", "STEP_NS", "Context", "Subject", "between", "chunk", "silence"]
