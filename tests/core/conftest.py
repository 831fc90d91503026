"""What the core's tests share: small networks, and toy devices of kinds that no installed plugin has."""

from __future__ import annotations

import itertools
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import hal
from hal import nodes
from hal.config import MapOptions, OpenOptions, Profile, array, setting
from hal.device import Clock, Column, Device, DeviceSpec, Reset
from hal.errors import Problem
from hal.fit import Finding, FitRow, Observable, Resource
from hal.hookspecs import hookimpl
from hal.mapper import Mapper, Plan
from hal.mapping import Fate, Losses, Placement
from hal.model import Model
from hal.semantics import Semantics
from hal.testing import registered

STEP = 1000
AT_ONCE: dict[str, dict[str, Any]] = {"speck2f": {"rate": None}}
"""Options with which answers take no time, so that devices can be compared spike by spike."""


def full(shape: tuple[int, ...], value: ArrayLike) -> NDArray[np.float32]:
    return np.broadcast_to(np.asarray(value, np.float32), shape).copy()


class Net:
    """Typed nodes with shapes filled in, and models made of them."""

    step = STEP

    def input(self, name: str, *shape: int) -> nodes.Input:
        return nodes.Input(name=name, input_shape=shape, output_shape=shape)

    def output(self, name: str, *shape: int) -> nodes.Output:
        return nodes.Output(name=name, input_shape=shape, output_shape=shape)

    def linear(self, name: str, weight: ArrayLike) -> nodes.Linear:
        w = np.asarray(weight, np.float32)
        return nodes.Linear(name=name, input_shape=(w.shape[1],), output_shape=(w.shape[0],), weight=w)

    def affine(self, name: str, weight: ArrayLike, bias: ArrayLike) -> nodes.Affine:
        w, b = np.asarray(weight, np.float32), np.asarray(bias, np.float32)
        return nodes.Affine(name=name, input_shape=(w.shape[1],), output_shape=(w.shape[0],), weight=w, bias=b)

    def conv(self, name: str, weight: ArrayLike, size: tuple[int, int]) -> nodes.Conv2d:
        w = np.asarray(weight, np.float32)
        (y, x), (kernel_y, kernel_x) = size, w.shape[2:]
        return nodes.Conv2d(
            name=name,
            input_shape=(w.shape[1], y, x),
            output_shape=(w.shape[0], y - kernel_y + 1, x - kernel_x + 1),
            weight=w,
            bias=np.zeros(w.shape[0], np.float32),
            stride=(1, 1),
            padding=((0, 0), (0, 0)),
            dilation=(1, 1),
            groups=1,
        )

    def sum_pool(self, name: str, shape: tuple[int, int, int], size: int) -> nodes.SumPool2d:
        channels, y, x = shape
        return nodes.SumPool2d(
            name=name,
            input_shape=shape,
            output_shape=(channels, y // size, x // size),
            kernel_size=(size, size),
            stride=(size, size),
            padding=(0, 0),
        )

    def delay(self, name: str, *values: float) -> nodes.Delay:
        shape = (len(values),)
        return nodes.Delay(name=name, input_shape=shape, output_shape=shape, delay=np.asarray(values, np.float32))

    def neuron(self, cls: type, name: str, *shape: int, **values: ArrayLike) -> Any:
        """Neurons of a class; parameters left out: tau 1e9, v_threshold and r and w_in 1, all others 0."""
        usual = {"tau": 1e9, "tau_mem": 1e9, "tau_syn": 1e9, "r": 1, "w_in": 1, "v_threshold": 1, "threshold": 1}
        unknown = set(values) - set(cls.parameters)
        assert not unknown, unknown
        given = {key: full(shape, values.get(key, usual.get(key, 0))) for key in cls.parameters}
        return cls(name=name, input_shape=shape, output_shape=shape, **given)

    def spiking(self, name: str, *shape: int, **values: ArrayLike) -> nodes.IF:
        made: nodes.IF = self.neuron(nodes.IF, name, *shape, **values)
        return made

    def model(self, parts: list[Any], edges: list[tuple[str, str]], **semantics: Any) -> Model:
        """A model; unless said otherwise in profile sinabs with steps of 1000 ns."""
        record = Semantics(**({"profile": "sinabs", "dt_ns": STEP} | semantics))
        return Model.of({part.name: part for part in parts}, edges, record)

    def chain(self, *parts: Any, **semantics: Any) -> Model:
        pairs = itertools.pairwise(parts)
        return self.model([*parts], [(a.name, b.name) for a, b in pairs], **semantics)

    def relay(self, size: int = 2, threshold: float = 1.0, **semantics: Any) -> Model:
        """input -> fc (identity) -> cells (IF) -> output: every event comes out again in its step."""
        return self.chain(
            self.input("input", size),
            self.linear("fc", np.eye(size)),
            self.spiking("cells", size, v_threshold=threshold),
            self.output("output", size),
            **semantics,
        )

    def readout(self, size: int = 2, **semantics: Any) -> Model:
        """input -> fc -> cells (IF) -> weigh -> li (LI, tau 2 steps) -> output, a signal."""
        return self.chain(
            self.input("input", size),
            self.linear("fc", np.eye(size)),
            self.spiking("cells", size),
            self.linear("weigh", [[1.0] * size]),
            self.neuron(nodes.LI, "li", 1, tau=2),
            self.output("output", 1),
            **semantics,
        )

    def encoder(self, size: int = 2, **semantics: Any) -> Model:
        """input (signal) -> enc (LIF) -> fc -> cells (IF) -> output."""
        return self.chain(
            self.input("input", size),
            self.neuron(nodes.LIF, "enc", size, tau=2, v_threshold=0.3),
            self.linear("fc", np.eye(size)),
            self.spiking("cells", size),
            self.output("output", size),
            signals={"input"},
            **semantics,
        )

    def run(self, device: str, model: Model, stimulus: Mapping[str, Any], duration_ns: int, **how: Any) -> Any:
        """Map, open, load, run once."""
        mapping = hal.mapper(device).map(model, **how)
        with hal.open(device, **AT_ONCE.get(device, {})) as chip:
            chip.load(mapping)
            return chip.run(stimulus, duration_ns)


@pytest.fixture(scope="session")
def net() -> Net:
    return Net()


# --- toy devices ----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class ToyConfig:
    """Registers of a toy: one gain per circuit, and a lane."""

    gain: NDArray[np.int8] = array("int8", (None,), doc="of each circuit", minimum=-8, maximum=7)
    lane: int = setting(0, doc="where events leave", minimum=0, maximum=3)

    def rules(self) -> Iterator[Problem]:
        if self.lane == 3 and self.gain.size > 4:
            yield Problem("lane 3 serves four circuits", "lane", value=self.gain.size, limit=4)


@attrs.frozen(kw_only=True)
class ToyMapOptions(MapOptions):
    """`approximate` may name: leak."""

    circuits: Mapping[str, int] = setting(doc="population -> circuits of each neuron", minimum=1, factory=dict)


@attrs.frozen(kw_only=True)
class ToyOpenOptions(OpenOptions):
    """How a toy behaves."""

    delay_ns: int = setting(0, doc="how long an event is under way", unit="ns", minimum=0)
    noise: bool = setting(False, doc="emit one random neuron at the start of each run")
    stall_index: int = setting(-1, doc="an event of this index stalls the chip")
    fail: str = setting("", doc="what a run ends with", choices=("", "error", "interrupt"))
    fail_index: int = setting(-1, doc="an event of this index raises")
    slow_s: float = setting(0.0, doc="wall time for each tenth of a run", unit="s", minimum=0)


@attrs.frozen(kw_only=True)
class ToyProfile(Profile):
    """An individual with circuits that do not work."""

    bad: tuple[int, ...] = setting((), doc="circuits not to be used", minimum=0)


class ToyMapper(Mapper):
    """Neurons of one or more circuits, 64 of them; refuses leaks, or approximates them."""

    def _plan(self, model: Any, options: Any, record: Any, like: Any, seed: int, rates_hz: Any) -> Plan:
        bad = set(getattr(self.profile, "bad", ()))
        free = [place for place in range(64) if place not in bad]
        parts: list[dict[str, Any]] = []
        fates, findings, losses, realised, used, gains = [], [], [], {}, 0, []
        for node in model.populations():
            index = np.arange(node.size)
            if isinstance(node, nodes.Input):
                parts.append({"node": node.name, "index": index, "core": -1, "neuron": index, "tag": index})
                continue
            count = options.circuits.get(node.name, 1)
            at = np.array(free)[(used + np.arange(node.size * count)) % len(free)]
            part = np.tile(np.arange(count), node.size)
            index = np.repeat(index, count)
            parts.append({"node": node.name, "index": index, "part": part, "core": 0, "neuron": at, "tag": at + 100})
            used += node.size * count
            findings += _leaks(node, options.approximate)
            threshold = np.asarray(node.v_threshold, np.float64).ravel()
            kept = np.rint(threshold)
            off = np.flatnonzero(kept != threshold)
            losses.append((node.name, "v_threshold", off, threshold[off], kept[off], "rounded"))
            realised[node.name, "v_threshold"] = kept
            gains += kept.tolist()
        rows = [self._row("circuits", used, len(free), "circuits")]
        for name, rate in (rates_hz or {}).items():
            rows.append(self._row("bandwidth", rate, 1000.0, "events/s", name))
        for node in model.nodes.values():
            where = "folded" if not node.population or isinstance(node, nodes.Input) else "chip"
            fates.append(Fate(node=node.name, fate=where))
        fates.append(Fate(node="lane", fate="added", reason="events leave through it"))
        return Plan(
            rows=rows,
            findings=findings,
            config=ToyConfig(gain=np.clip(np.asarray(gains), -8, 7)),
            placement=Placement.build(parts, ("tag",)),
            fates=fates,
            losses=Losses.build(losses),
            realised=realised,
            step_ns=model.semantics.dt_ns if self.spec.clock.kind == "clocked" else None,
            speedup=SPEEDUPS.get(self.spec.name, 1.0),
            latency_ns=dict.fromkeys(model.outputs, 5),
        )

    def _row(self, name: str, needed: float, limit: float, unit: str, node: str = "") -> FitRow:
        hint = "use fewer neurons" if needed > limit else ""
        return FitRow(
            resource=name,
            place="chip",
            node=node,
            needed=needed,
            limit=limit,
            unit=unit,
            hint=hint,
        )

    def _adopt(self, config: Any) -> Any:
        index = np.arange(config.gain.size)
        part = {"node": "circuits", "index": index, "core": 0, "neuron": index}
        port = hal.Port("circuits", (config.gain.size,))
        return hal.Mapping(
            device=self.spec.name,
            config=config,
            placement=Placement.build([part]),
            fit=hal.FitReport(device=self.spec.name),
            inputs=(hal.Port("in", port.shape),),
            outputs=(port,),
        )

    def _edit(self, mapping: Any, config: Any) -> Any:
        return [self._row("lanes", config.lane, 1, "lanes")]


SPEEDUPS: dict[str, float] = {}


def _leaks(node: Any, approximate: frozenset[str]) -> list[Finding]:
    if not isinstance(node, nodes.LIF):
        return []
    level: Any = "changed" if "leak" in approximate else "refused"
    reason = "no leak on this chip"
    return [Finding(level=level, node=node.name, field="tau", reason=reason, wanted=1.0, realised=2.0, hint="use IF")]


class ToyDevice(Device):
    """Gives every event of the first input back on every recorded node, after a while."""

    options: ToyOpenOptions

    def _load(self, mapping: Any) -> None:
        self.under_way = np.empty(0, hal.EVENT)
        self.learned = 0
        self.loads = getattr(self, "loads", 0) + 1

    def _reset(self, mode: Reset) -> None:
        self.under_way = np.empty(0, hal.EVENT)
        if mode is not Reset.STATE:
            self.learned = 0

    def _close(self) -> None:
        self.closed_times = getattr(self, "closed_times", 0) + 1

    def _run(self, stimulus: Any, duration_ns: int, recorder: Any) -> None:
        self.seen = dict(stimulus)
        given = stimulus[self.mapping.on_chip.inputs[0]] if self.mapping.on_chip else next(iter(stimulus.values()))
        self.learned += 1
        if (given["index"] == self.options.fail_index).any():
            raise RuntimeError("the chip fell over")
        late = given.copy()
        late["t"] += self.options.delay_ns
        if self.options.noise:
            some = self.rng().integers(0, 2**16)
            recorder.count("noise", [int(some)])
        waiting = np.concatenate([self.under_way, late])
        waiting = waiting[np.argsort(waiting["t"], kind="stable")]
        now, self.under_way = waiting[waiting["t"] < duration_ns], waiting[waiting["t"] >= duration_ns]
        self.under_way["t"] -= duration_ns
        for tenth in range(10):
            low, high = duration_ns * tenth // 10, duration_ns * (tenth + 1) // 10
            block = now[(now["t"] >= low) & (now["t"] < high)]
            for name, shape in self.recorded_events().items():
                recorder.emit(name, block["t"], block["index"] % np.prod(shape, dtype=np.int64))
            time.sleep(self.options.slow_s)
            recorder.advance(high)
            if self.options.fail and tenth == 4:
                raise KeyboardInterrupt if self.options.fail == "interrupt" else RuntimeError("the chip fell over")
        if (given["index"] == self.options.stall_index).any():
            recorder.interval("stall", 0, 0, duration_ns)
            recorder.count("stalled_ns", [duration_ns])
            recorder.distrust(Finding(level="note", node="", field="stall", reason="the chip stalled"))
        recorder.count("events_in", [given.size])
        recorder.count("pending", [self.under_way.size])
        recorder.count("learned", [self.learned])


ALL = (
    "neuron.if",
    "neuron.lif",
    "route.fanout",
    "route.merge",
    "run.continue",
    "record.state",
    "reset.state",
    "reset.loaded",
    "reset.config",
    "reset.power",
    "map.like",
    "map.adopt",
    "map.edit",
)


class Toys:
    """Registers toy devices for the length of a test."""

    ALL = frozenset(ALL)
    Config, MapOptions, OpenOptions, Profile = ToyConfig, ToyMapOptions, ToyOpenOptions, ToyProfile
    Mapper, Device = ToyMapper, ToyDevice

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def add(
        self,
        name: str = "toy",
        *,
        mapper: Callable[..., Any] = ToyMapper,
        device: Callable[..., Any] = ToyDevice,
        speedup: float = 1.0,
        **spec: Any,
    ) -> DeviceSpec:
        """A device like ToyDevice; keywords change the spec."""
        usual: dict[str, Any] = {
            "name": name,
            "family": name,
            "summary": "a toy",
            "clock": Clock(kind="event"),
            "config": ToyConfig,
            "capabilities": ALL,
            "resources": (Resource(name="circuits", unit="circuits", scope="chip", limit=(64,), source="made up"),),
            "observables": (
                Observable(variable="spikes", unit="events"),
                Observable(variable="v", unit="mV", at_once=2, period_ns=10),
            ),
            "map_options": ToyMapOptions,
            "open_options": ToyOpenOptions,
            "placement_extras": (Column(name="tag", unit="index", meaning="a tag"),),
            "counters": (
                Column(name="learned", unit="runs", meaning="how often weights changed"),
                Column(name="noise", unit="numbers", meaning="a random number"),
            ),
        }
        made = DeviceSpec(**(usual | spec))
        SPEEDUPS[name] = speedup
        plugin = types.ModuleType(f"toy_plugin_{name}")
        plugin.HAL_PLUGIN_API = "1.0"  # type: ignore[attr-defined]

        @hookimpl
        def hal_devices() -> list[DeviceSpec]:
            return [made]

        @hookimpl
        def hal_mapper(spec: DeviceSpec, profile: Any) -> Any:
            return mapper(spec, profile)

        @hookimpl
        def hal_open(spec: DeviceSpec, kind: str, serial: Any, profile: Any, seed: int, options: Any) -> Any:
            return device(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)

        for hook in (hal_devices, hal_mapper, hal_open):
            setattr(plugin, hook.__name__, hook)
        record = self._stack.enter_context(registered(plugin, family=name))
        assert record.state == "loaded", record.error
        return made


@pytest.fixture
def toys() -> Iterator[Toys]:
    with ExitStack() as stack:
        yield Toys(stack)
