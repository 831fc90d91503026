"""What the host computes: analog parts of a model before and after the chip, run on the device `ideal`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hal import nodes
from hal.events import Port, Records, Signal, events
from hal.fit import Finding
from hal.intake import Batch, Checked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hal.device import Device
    from hal.mapping import Mapping
    from hal.model import Model
    from hal.recorder import Recorder
    from hal.recording import Recording

Run = Callable[[Checked, int, Any], None]
Hook = Callable[[int], None]


def split(model: Model, capabilities: frozenset[str]) -> tuple[Model | None, Model, Model | None, list[Finding]]:
    """(front, the chip's part, back, findings): analog parts cut off where the device has no signals of its own.

    Front: from Inputs that take signals up to and including the first spiking nodes. Back: what lies between the last
    spiking nodes and Outputs that give signals. Names stay: a part's Input is named after the population that feeds it;
    an Output where it was cut off gets a name that the model does not have.
    """
    front = set() if "input.signal" in capabilities else _front(model)
    back = set() if "output.signal" in capabilities else _back(model)
    both = front & back
    if both:
        # one analog path from Input to Output: nothing is left to a chip between the two
        back -= front
    if not front and not back:
        return None, model, None, []
    findings = []
    if model.semantics.dt_ns is None:
        findings.append(
            Finding(
                level="refused",
                node="",
                field="dt_ns",
                reason="analog parts run on the host in steps, and nobody said how long a step is",
                hint="Semantics(dt_ns=...), or --dt",
            )
        )
    findings += [
        Finding(level="note", node=name, field="host", reason=f"computed {when} the chip, on the host")
        for part, when in ((front, "before"), (back, "after"))
        for name in model.order()
        if name in part and model.nodes[name].population and name not in model.inputs
    ]
    chip = [name for name in model.nodes if name not in front and name not in back]
    return (
        _cut(model, front) if front else None,
        _cut(model, chip),
        _cut(model, back) if back else None,
        findings,
    )


def _cut(model: Model, names: Iterable[str]) -> Model:
    """A part, with Outputs where it was cut off under names that the model does not have."""
    inside = set(names)
    exits = {}
    for source, target in model.edges:
        # what an Input gives, the other parts have from the stimulus
        if source in inside and target not in inside and source not in exits and source not in model.inputs:
            exits[source] = f"{source}.out"
            while exits[source] in model.nodes:
                exits[source] += "'"
    return model.part(inside, exits=exits)


def _cuts(part: Model | None, model: Model | None) -> dict[str, str]:
    """Where a part was cut off: name of its Output -> the population behind it."""
    if part is None or model is None:
        return {}
    return {name: part.predecessors(name)[0] for name in part.outputs if name not in model.outputs}


def _front(model: Model) -> set[str]:
    """Nodes from signal Inputs to the first spiking ones, with everything those need."""
    part: set[str] = set()
    todo = [name for name in model.inputs if name in model.semantics.signals]
    while todo:
        name = todo.pop()
        if name in part or name in model.outputs:
            continue
        part.add(name)
        if not model.nodes[name].spiking:
            todo += model.successors(name)
        todo += model.predecessors(name)
    return part


def _back(model: Model) -> set[str]:
    """Nodes from the last spiking ones to signal Outputs, with everything that depends on them."""
    part: set[str] = set()
    todo = [name for name in model.outputs if model.kind(name) == "signal"]
    while todo:
        name = todo.pop()
        if name in part:
            continue
        part.add(name)
        todo += model.successors(name)
        todo += [
            source
            for source in model.predecessors(name)
            if not model.nodes[source].spiking and not isinstance(model.nodes[source], nodes.Input)
        ]
    return part


class HostParts:
    """The front and back of a mapping, each on its own ideal device; they share run and reset."""

    def __init__(self, mapping: Mapping, ports: tuple[Port, ...], seed: int) -> None:
        probed = {probe.node for probe in mapping.record if probe.variable == "spikes"}
        on_chip = mapping.on_chip.inputs if mapping.on_chip is not None else ()
        self._ports = {*on_chip, *(port.name for port in ports)}
        self._front_cuts = _cuts(mapping.front, mapping.model)
        self._chip_cuts = _cuts(mapping.on_chip, mapping.model)
        self.front = _opened(mapping.front, probed, seed)
        self.back = _opened(mapping.back, probed, seed)
        self._parts: tuple[Device, ...] = tuple(part for part in (self.front, self.back) if part is not None)

    def reset(self) -> None:
        """Both parts back to the start."""
        for part in self._parts:
            part.reset()

    def close(self) -> None:
        """Let go of both."""
        for part in self._parts:
            part.close()

    def run(self, stimulus: Checked, duration_ns: int, recorder: Recorder, chip: Run, watch: Hook) -> None:
        """Front, chip, back, one after the other; what they give goes to the one recorder."""
        from hal.recorder import MemoryRecorder

        def part_run(part: Device, feeds: Any) -> Recording:
            own = MemoryRecorder()
            own.on_advance.append(watch)
            return part.run(feeds, duration_ns, recorder=own)

        front = None
        if self.front is not None:
            front = part_run(self.front, {port.name: stimulus[port.name] for port in self.front.mapping.inputs})
        heard = self._chip_run(stimulus, front, duration_ns, recorder, chip)
        if self.back is not None:
            feeds = {port.name: heard[port.name] for port in self.back.mapping.inputs if port.name in heard}
            _pass_on(part_run(self.back, feeds), recorder)

    def run_batch(
        self, batch: Batch, duration_ns: int, recorders: Sequence[Recorder], chip: Callable[[int], Run], workers: int
    ) -> None:
        """Front and back as one batch each; `chip(b)` gets the chip ready for sample b; recorders are started."""
        fronts = None
        if self.front is not None:
            columns: Any = {port.name: batch.columns[port.name] for port in self.front.mapping.inputs}
            fronts = self.front.run_batch(columns, duration_ns, workers=workers)
        heard = []
        for b, (sample, recorder) in enumerate(zip(batch, recorders, strict=True)):
            front = None if fronts is None else fronts[b]
            heard.append(self._chip_run(sample, front, duration_ns, recorder, chip(b)))
        if self.back is not None:
            names = [port.name for port in self.back.mapping.inputs if port.name in heard[0]]
            feeds: Any = {name: [one[name] for one in heard] for name in names}
            backs = self.back.run_batch(feeds, duration_ns, workers=workers)
            for b, recorder in enumerate(recorders):
                _pass_on(backs[b], recorder)

    def _chip_run(
        self, stimulus: Checked, front: Recording | None, duration_ns: int, recorder: Recorder, chip: Run
    ) -> dict[str, Records | Signal]:
        """The chip on the stimulus and what the front gave; returns everything the back may read."""
        inner: dict[str, Records | Signal] = dict(stimulus)
        if front is not None:
            given: dict[str, Records | Signal] = {**front.spikes, **front.signals}
            inner |= {self._front_cuts[name]: value for name, value in given.items() if name in self._front_cuts}
            _pass_on(front, recorder)
        tee = _Tee(recorder, self._chip_cuts)
        chip({name: value for name, value in inner.items() if name in self._ports}, duration_ns, tee)
        return inner | tee.events()


def _opened(model: Model | None, probed: set[str], seed: int) -> Device | None:
    if model is None:
        return None
    from hal import registry

    device = registry.open("ideal", seed=seed)
    device.load(registry.mapper("ideal").map(model, record=sorted(probed & model.nodes.keys() - set(model.inputs))))
    return device


def _pass_on(recording: Recording, recorder: Recorder) -> None:
    """What a host part recorded, where the user asked for it."""
    for name, spikes in recording.spikes.items():
        if name in recorder.header.nodes:
            recorder.emit(name, spikes["t"], spikes["index"])
    for name, signal in recording.signals.items():
        if name in recorder.header.signals:
            recorder.sample(name, "output", signal.t, signal.values)


class _Tee:
    """A recorder that also keeps the events the host's back part needs."""

    def __init__(self, recorder: Recorder, cuts: dict[str, str]) -> None:
        self._recorder = recorder
        self._cuts = cuts
        self._kept: dict[str, list[tuple[NDArray[np.int64], NDArray[np.uint32]]]] = {}

    def emit(self, node: str, t: NDArray[np.int64], index: NDArray[np.uint32]) -> None:
        """Keep, and pass on what the user asked for."""
        if node in self._cuts:
            self._kept.setdefault(self._cuts[node], []).append((t.copy(), index.copy()))
        if node in self._recorder.header.nodes:
            self._recorder.emit(node, t, index)

    def events(self) -> dict[str, Records]:
        """Everything emitted where the model was cut, by population."""
        kept = {name: self._kept.get(name, []) for name in self._cuts.values()}
        nothing = (np.zeros(0, np.int64), np.zeros(0, np.uint32))
        return {
            node: events(*(np.concatenate(column) for column in zip(nothing, *parts, strict=True)))
            for node, parts in kept.items()
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._recorder, name)
