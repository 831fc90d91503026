"""What the Speck tests share: chains of typed nodes with shapes filled in, and ways to ask mapper and device."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pytest
from numpy.typing import ArrayLike

import hal
from hal import nodes
from hal.errors import DoesNotFitError
from hal.fit import Finding, FitReport
from hal.mapping import Mapping
from hal.model import Model
from hal.recording import Recording
from hal.semantics import Semantics

sys.path.insert(0, str(Path(__file__).parent))  # for relays

STEP = 1000

AS_THE_CHIP: dict[str, Any] = {
    "profile": "sinabs",
    "dt_ns": STEP,
    "spikes_per_step": "one",
    "spike_reset": "subtract",
    "bias_meaning": "per_tick",
    "v_min": None,
    "dtype": "float64",
}
"""Semantics that the chip keeps in every word, so that nothing is changed and nothing refused."""


def pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


class Chain:
    """Nodes one after the other; each takes the shape of the one before. Names: given, or the type and a number.

    `at` goes back to a node, to branch there; `to` adds an edge to a node that is already there.
    """

    def __init__(self, *shape: int, name: str = "input") -> None:
        self.parts: list[nodes.Node] = []
        self.edges: list[tuple[str, str]] = []
        self.source(*shape, name=name)

    def source(self, *shape: int, name: str) -> Self:
        """An Input, to go on from."""
        self.shape: tuple[int, ...] = shape
        self.parts.append(nodes.Input(name=name, input_shape=shape, output_shape=shape))
        self.here = name
        return self

    def at(self, name: str) -> Self:
        self.here, self.shape = next((part.name, part.output_shape) for part in self.parts if part.name == name)
        return self

    def to(self, name: str) -> Self:
        self.edges.append((self.here, name))
        return self

    def out(self, name: str = "output") -> Self:
        return self.put(nodes.Output, name, self.shape)

    def put(self, cls: Any, name: str | None, shape: tuple[int, ...], **fields: Any) -> Self:
        name = name or f"{cls.__name__.lower()}{len(self.parts)}"
        self.parts.append(cls(name=name, input_shape=self.shape, output_shape=shape, **fields))
        self.edges.append((self.here, name))
        self.here, self.shape = name, shape
        return self

    def conv(
        self,
        weight: ArrayLike,
        name: str | None = None,
        *,
        bias: ArrayLike = 0,
        stride: int | tuple[int, int] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
    ) -> Self:
        w = np.asarray(weight, np.float32)
        pads = padding if isinstance(padding, tuple) and isinstance(padding[0], tuple) else None
        (top, bottom), (left, right) = pads or tuple((p, p) for p in pair(padding))
        (sy, sx), (dy, dx), (_, height, width) = pair(stride), pair(dilation), self.shape
        out_y = (height + top + bottom - dy * (w.shape[2] - 1) - 1) // sy + 1
        out_x = (width + left + right - dx * (w.shape[3] - 1) - 1) // sx + 1
        return self.put(
            nodes.Conv2d,
            name,
            (w.shape[0], out_y, out_x),
            weight=w,
            bias=np.broadcast_to(np.asarray(bias, np.float32), w.shape[:1]).copy(),
            stride=(sy, sx),
            padding=((top, bottom), (left, right)),
            dilation=(dy, dx),
            groups=groups,
        )

    def relay(self, name: str | None = None, value: float = 1.0) -> Self:
        """A 1 x 1 convolution that passes every feature on."""
        return self.conv(np.eye(self.shape[0])[:, :, None, None] * value, name)

    def dense(self, weight: ArrayLike, name: str | None = None, *, bias: ArrayLike | None = None) -> Self:
        w = np.asarray(weight, np.float32)
        if bias is None:
            return self.put(nodes.Linear, name, (w.shape[0],), weight=w)
        b = np.broadcast_to(np.asarray(bias, np.float32), w.shape[:1]).copy()
        return self.put(nodes.Affine, name, (w.shape[0],), weight=w, bias=b)

    def fire(self, threshold: ArrayLike = 1, name: str | None = None, *, r: ArrayLike = 1, v_reset: float = 0) -> Self:
        values = {"r": r, "v_threshold": threshold, "v_reset": v_reset}
        full = {k: np.broadcast_to(np.asarray(v, np.float32), self.shape).copy() for k, v in values.items()}
        return self.put(nodes.IF, name, self.shape, **full)

    def neurons(self, cls: Any, name: str | None = None, **values: float) -> Self:
        usual = {"tau": 2, "tau_mem": 2, "tau_syn": 2, "r": 1, "w_in": 1, "v_threshold": 1, "threshold": 1, "delay": 1}
        full = {k: np.full(self.shape, values.get(k, usual.get(k, 0)), np.float32) for k in cls.parameters}
        return self.put(cls, name, self.shape, **full)

    def pool(self, size: Any, name: str | None = None, *, cls: Any = nodes.SumPool2d, **fields: Any) -> Self:
        ky, kx = pair(size)
        c, y, x = self.shape
        (sy, sx), (py, px) = pair(fields.get("stride", (ky, kx))), pair(fields.get("padding", 0))
        shape = (c, (y + 2 * py - ky) // sy + 1, (x + 2 * px - kx) // sx + 1)
        return self.put(cls, name, shape, kernel_size=(ky, kx), stride=(sy, sx), padding=(py, px))

    def mean(self, size: Any, name: str | None = None) -> Self:
        return self.pool(size, name, cls=nodes.AvgPool2d)

    def flatten(self, name: str | None = None) -> Self:
        return self.put(nodes.Flatten, name, (int(np.prod(self.shape)),), start_dim=0, end_dim=-1)

    def scale(self, value: ArrayLike, name: str | None = None) -> Self:
        factors = np.broadcast_to(np.asarray(value, np.float32), self.shape).copy()
        return self.put(nodes.Scale, name, self.shape, scale=factors)

    def model(self, **semantics: Any) -> Model:
        """With an Output at the end; semantics as the chip's but for what is said."""
        if not any(isinstance(part, nodes.Output) for part in self.parts):
            self.out()
        return self.graph(self.edges, **semantics)

    def graph(self, edges: Iterable[tuple[str, str]], **semantics: Any) -> Model:
        given = semantics if "profile" in semantics else AS_THE_CHIP | semantics
        return Model.of({part.name: part for part in self.parts}, edges, Semantics(**given))


class Speck:
    """Ask one chip of the family."""

    step = STEP
    chain = Chain
    semantics = AS_THE_CHIP

    def __init__(self, device: str = "speck2f") -> None:
        self.device = device

    def on(self, device: str) -> Speck:
        return Speck(device)

    def check(self, model: Model, **options: Any) -> FitReport:
        return hal.mapper(self.device).check(model, options)

    def map(self, model: Model, *, record: Any = (), like: Mapping | None = None, **options: Any) -> Mapping:
        return hal.mapper(self.device).map(model, options, record=record, like=like)

    def refused(self, model: Model, node: str, field: str, **options: Any) -> Finding:
        """The one refusal at (node, field), said by `check` and by the error of `map` alike."""
        report = self.check(model, **options)
        assert not report.fits
        with pytest.raises(DoesNotFitError) as error:
            self.map(model, **options)
        assert str(error.value.report) == str(report)
        return self.one(report, "refused", node, field)

    def said(self, model: Model, level: Literal["changed", "note"], node: str, field: str, **options: Any) -> Finding:
        """The one change or note at (node, field) of a model that maps."""
        return self.one(self.map(model, **options).fit, level, node, field)

    def one(self, report: FitReport, level: str, node: str, field: str) -> Finding:
        found = [f for f in report.findings if (f.level, f.node, f.field) == (level, node, field)]
        assert len(found) == 1, [str(f) for f in report.findings]
        return found[0]

    def over(self, model: Model, resource: str) -> tuple[float, float]:
        """(needed, limit) of the one row of a resource that is over."""
        report = self.check(model)
        rows = [row for row in report.rows if row.resource == resource and not row.ok]
        assert len(rows) == 1
        with pytest.raises(DoesNotFitError, match=resource):
            self.map(model)
        return rows[0].needed, rows[0].limit

    def cores(self, mapping: Mapping, model: Model) -> list[int]:
        names = [node.name for node in model.populations() if not isinstance(node, nodes.Input)]
        return [int(mapping.where(name)["core"][0]) for name in names]

    def events(self, index: ArrayLike, t: ArrayLike | None = None) -> Any:
        """Events at one step each, or at times given in ns."""
        where = np.asarray(index, np.int64).reshape(-1)
        return hal.events(np.arange(where.size) * STEP if t is None else np.asarray(t, np.int64), where)

    def run(
        self,
        what: Model | Mapping,
        index: ArrayLike,
        *,
        ticks: ArrayLike = (),
        duration_ns: int | None = None,
        options: Any = None,
        **how: Any,
    ) -> Recording:
        """One event per step into the one input, ticks at given times; every population recorded, with its state.

        Infinitely fast cores, unless `options` say otherwise: these tests are about what neurons do, not when.
        """
        if isinstance(what, Model):
            names = [node.name for node in what.populations() if isinstance(node, nodes.IF)]
            how = {"record": [*names, *(hal.Probe(name, "v") for name in names)]} | how
            what = self.map(what, **how)
        tick = np.asarray(ticks, np.int64)
        stimulus = {what.inputs[0].name: self.events(index)}
        if tick.size:
            stimulus["@slow_clock"] = hal.events(tick, np.zeros(tick.size, np.int64))
        duration = duration_ns or max(np.size(index) * STEP, int(tick.max(initial=0)) + 1, STEP)
        with hal.open(self.device, **({"rate": None} | (options or {}))) as device:
            device.load(what)
            return device.run(stimulus, duration)


@pytest.fixture(scope="session")
def speck() -> Speck:
    return Speck()


@pytest.fixture(scope="session")
def chain() -> type[Chain]:
    return Chain
