"""What comparing a model on several devices found, as plain data; `hal.compare` makes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import numpy as np

from hal.events import I64
from hal.fit import FitReport
from hal.store.manifest import plain

Read = Literal["count", "first"]


@attrs.frozen(kw_only=True)
class Divergence:
    """The earliest event that one of two devices gives and the other does not.

    sample: number of the stimulus. node, index: neuron. t_ns: since the start of the sample, the device's latency taken
    off.
    """

    sample: int
    t_ns: int
    node: str
    index: int


@attrs.frozen(kw_only=True)
class Match:
    """How well a layer's spikes agree with the reference, over all samples; see `hal.agreement`.

    matched: pairs within the window; spikes, reference: how many there are; count_error: the largest of a neuron's
    count over all samples; first: where they part, None where they never do.
    """

    matched: int
    spikes: int
    reference: int
    count_error: int
    first: Divergence | None

    @property
    def share(self) -> float:
        """Matched spikes over all spikes of both; 1.0 for equal trains."""
        total = self.spikes + self.reference
        return 2 * self.matched / total if total else 1.0


@attrs.frozen(kw_only=True)
class Layer:
    """One recorded layer. given, realised: against `ideal` on the model's and on the chip's numbers, None unknown."""

    node: str
    neurons: int
    spikes: int
    given: Match | None = None
    realised: Match | None = None


@attrs.frozen(kw_only=True)
class Loss:
    """So many values of a node's parameter that the chip could not keep, and why."""

    node: str
    parameter: str
    reason: str
    count: int


@attrs.frozen(kw_only=True)
class Fullest:
    """A resource, where it is used most: needed of limit, at a place, for a node."""

    resource: str
    place: str
    node: str
    needed: float
    limit: float
    unit: str

    @property
    def share(self) -> float:
        """Of the limit."""
        return self.needed / self.limit if self.limit else math.inf


@attrs.frozen(kw_only=True, eq=False)
class DeviceResult:
    """One model on one device.

    Attributes:
        device, family, clock: name, and what its spec says. report: of the mapper; None where it failed before.
        error: why it did not come to an end, although it fits; empty where it did.
        options: what the mapper was allowed, as JSON. losses, quantisation: node -> relative RMS error of its weights;
        quantisation_error: of all weights, None where no weight is told. cores: on which there are neurons;
        memory: each resource where it is fullest.
        unrecorded: why only the outputs could be recorded; empty where all layers were.
        layers: in the model's order. signals: Output of values -> RMS of the difference to `ideal` over RMS of ideal.
        window_ns: how far two spikes of a pair may be apart. first, first_realised: the earliest divergence of all.
        predictions: (B,) classes, -1 undecided, None without a single Output. accuracy: with labels. same_class: share
        of predictions equal to those of `ideal`. stats: counter -> sum over samples and cores.
        statuses: word -> samples. diagnostics: what runs had to say -> in how many samples.
        wall_s: of running, compiling included.
    """

    device: str
    family: str = ""
    clock: str = ""
    report: FitReport | None = None
    error: str = ""
    options: Mapping[str, Any] = attrs.field(factory=dict)
    losses: tuple[Loss, ...] = ()
    quantisation: Mapping[str, float] = attrs.field(factory=dict)
    quantisation_error: float | None = None
    cores: int = 0
    memory: tuple[Fullest, ...] = ()
    unrecorded: str = ""
    step_ns: int | None = None
    speedup: float = 1.0
    layers: tuple[Layer, ...] = ()
    signals: Mapping[str, float] = attrs.field(factory=dict)
    window_ns: int = 0
    predictions: I64 | None = None
    accuracy: float | None = None
    same_class: float | None = None
    stats: Mapping[str, int] = attrs.field(factory=dict)
    statuses: Mapping[str, int] = attrs.field(factory=dict)
    diagnostics: Mapping[str, int] = attrs.field(factory=dict)
    wall_s: float = 0.0

    @property
    def verdict(self) -> Literal["runs", "does not fit", "failed"]:
        """What became of it."""
        if self.report is not None and not self.report.fits:
            return "does not fit"
        return "failed" if self.error else "runs"

    @property
    def reasons(self) -> list[str]:
        """Everything that kept it from running."""
        refused = [] if self.report is None else [str(problem) for problem in self.report.problems()]
        return refused + ([self.error] if self.error else [])

    def agreement(self, against: Literal["given", "realised"] = "given") -> float | None:
        """Share of agreeing spikes of all layers together; None where nothing was compared."""
        found = [match for layer in self.layers if (match := getattr(layer, against)) is not None]
        total = sum(match.spikes + match.reference for match in found)
        if not found:
            return None
        return 2 * sum(match.matched for match in found) / total if total else 1.0

    def first(self, against: Literal["given", "realised"] = "given") -> Divergence | None:
        """The earliest event of all layers that has no partner; of equal times the layer that comes first."""
        found = [match.first for layer in self.layers if (match := getattr(layer, against)) is not None and match.first]
        return min(found, key=lambda one: (one.sample, one.t_ns), default=None)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        out = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        out["report"] = None if self.report is None else self.report.to_json()
        out["layers"] = [
            {
                "node": layer.node,
                "neurons": layer.neurons,
                "spikes": layer.spikes,
                "given": _match(layer.given),
                "realised": _match(layer.realised),
            }
            for layer in self.layers
        ]
        out["losses"] = [attrs.asdict(loss) for loss in self.losses]
        out["memory"] = [attrs.asdict(fullest) | {"share": fullest.share} for fullest in self.memory]
        for against in ("given", "realised"):
            first = self.first(against)
            out[f"agreement_{against}"] = self.agreement(against)
            out[f"first_{against}"] = None if first is None else attrs.asdict(first)
        json: dict[str, Any] = plain({"verdict": self.verdict, "reasons": self.reasons, **out})
        return json


def _match(match: Match | None) -> dict[str, Any] | None:
    return None if match is None else attrs.asdict(match) | {"share": match.share}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Comparison:
    """One model and one set of samples on several devices.

    Attributes:
        model, fingerprint, semantics: which model, and how it was meant. nodes, neurons: how many.
        samples, events, duration_ns: what went in; of one sample. labels: (B,) or None. classes: how many there are.
        read: how a class was read off an Output; see `hal.compare`.
        reference: the model on `ideal`. devices: the others, in the order asked for.
    """

    model: str
    fingerprint: str
    semantics: Mapping[str, Any]
    nodes: int
    neurons: int
    samples: int
    events: int
    duration_ns: int
    read: Read
    reference: DeviceResult
    devices: tuple[DeviceResult, ...]
    labels: I64 | None = None

    @property
    def classes(self) -> int:
        """Different labels; 0 without any."""
        return 0 if self.labels is None else len(np.unique(self.labels))

    def __getitem__(self, device: str) -> DeviceResult:
        """The result of a device, by name. KeyError when it was not compared."""
        for result in (self.reference, *self.devices):
            if result.device == device:
                return result
        raise KeyError(device)

    def __repr__(self) -> str:
        words = [result.verdict for result in self.devices]
        counts = ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))
        return f"<Comparison of {self.model} on {len(self.devices)} devices: {counts}>"

    def to_json(self) -> dict[str, Any]:
        """A JSON object with everything."""
        out = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        out["reference"] = self.reference.to_json()
        out["devices"] = [result.to_json() for result in self.devices]
        json: dict[str, Any] = plain(out)
        return json
