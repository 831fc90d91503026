from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import config
from hal.cli import arguments
from hal.cli.failures import BadUsageError


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1ms", 1_000_000),
        ("300us", 300_000),
        ("300 µs", 300_000),
        ("0.5s", 500_000_000),
        ("250", 250),
        ("1e3", 1000),
        ("1.5e-3s", 1_500_000),
        ("0.1us", 100),
        ("2min", 120_000_000_000),
        (".5ms", 500_000),
    ],
)
def test_times(text: str, ns: int) -> None:
    assert arguments.time_ns(text, "--dt") == ns


@given(st.integers(0, 2**62))
def test_a_plain_integer_is_ns(ns: int) -> None:
    assert arguments.time_ns(str(ns), "--dt") == ns


@pytest.mark.parametrize("text", ["", "ms", "1 parsec", "1,5ms", "0x10", "1ms2", "nan", "inf", "1.5.2s"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(BadUsageError, match="is not a time"):
        arguments.time_ns(text, "--dt")


def test_times_are_whole_ns() -> None:
    with pytest.raises(BadUsageError, match="no whole number of ns"):
        arguments.time_ns("0.0001us", "--dt")
    with pytest.raises(BadUsageError, match="give a unit"):
        arguments.time_ns("0.5", "--dt")


def test_times_have_a_range() -> None:
    with pytest.raises(BadUsageError, match="at least 1 ns"):
        arguments.time_ns("0", "--dt", least=1)
    with pytest.raises(BadUsageError, match="at least 0 ns"):
        arguments.time_ns("-1ms", "--duration")
    with pytest.raises(BadUsageError, match=r"below 2\*\*63"):
        arguments.time_ns("1e300s", "--duration")


@pytest.mark.parametrize(("text", "hz"), [("20kHz", 20e3), ("1 MHz", 1e6), ("5", 5.0), ("0.5hz", 0.5), ("1GHz", 1e9)])
def test_rates(text: str, hz: float) -> None:
    assert arguments.rate_hz(text, "--rate") == hz


@pytest.mark.parametrize("text", ["fast", "1 lightyear", "-1kHz", ""])
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(BadUsageError, match="is not a rate"):
        arguments.rate_hz(text, "--rate")


def test_rates_of_several_nodes() -> None:
    assert arguments.rates(["a=1kHz,b=2", "c.d=3MHz"]) == {"a": 1e3, "b": 2.0, "c.d": 3e6}
    with pytest.raises(BadUsageError, match="NODE=20kHz"):
        arguments.rates(["1kHz"])


def test_words() -> None:
    assert arguments.words(["leak,reset", " delays ", "leak", ","]) == ["leak", "reset", "delays"]


def test_pairs() -> None:
    assert arguments.pairs(["a=1,b=2", "c=x=y"], "--option") == {"a": "1", "b": "2", "c": "x=y"}
    assert arguments.pairs(["cores=1,2,3"], "--option") == {"cores": "1,2,3"}
    assert arguments.pairs(['m={"a":1,"b":2},z=0'], "--option") == {"m": '{"a":1,"b":2}', "z": "0"}


@pytest.mark.parametrize("text", ["novalue", "=1", " = "])
def test_what_is_no_pair(text: str) -> None:
    with pytest.raises(BadUsageError, match="KEY=VALUE"):
        arguments.pairs([text], "--option")


def test_a_key_given_twice() -> None:
    with pytest.raises(BadUsageError, match="a is given twice"):
        arguments.pairs(["a=1", "a=2"], "--option")


@attrs.frozen(kw_only=True)
class Part:
    size: int = config.setting(1, doc="")
    names: Mapping[str, int] = config.setting(doc="", factory=dict)


@attrs.frozen(kw_only=True)
class Options(config.MapOptions):
    approximations: ClassVar[tuple[str, ...]] = ("leak", "reset")
    order: tuple[int, ...] | Literal["auto"] = config.setting("auto", doc="")
    cores: tuple[int, ...] = config.setting((), doc="")
    table: Mapping[str, int] = config.setting(doc="", factory=dict)
    word: str = config.setting("", doc="")
    rate: float | None = config.setting(None, doc="")
    on: bool = config.setting(False, doc="")
    speed: float | tuple[float, ...] | None = config.setting(1.0, doc="")
    part: Part | None = config.setting(None, doc="")


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (["order=auto"], {"order": "auto"}),
        (["order=0,1,2"], {"order": (0, 1, 2)}),
        (["order=[0, 1]"], {"order": (0, 1)}),
        (["order=3"], {"order": (3,)}),
        (["cores=4"], {"cores": (4,)}),
        (['table={"a": 1}'], {"table": {"a": 1}}),
        (["table.a=1", "table.b.c=2"], {"table": {"a": 1, "b.c": 2}}),
        (["word=some text"], {"word": "some text"}),
        (["rate=1e3", "on=true"], {"rate": 1000.0, "on": True}),
        (["rate=null"], {"rate": None}),
        (["rate=None"], {"rate": None}),
        (["speed=1e3"], {"speed": 1000.0}),
        (["speed=1,2.5"], {"speed": (1, 2.5)}),
        (["speed=none"], {"speed": None}),
        (["part.size=3", "part.names.a.b=2"], {"part": {"size": 3, "names": {"a.b": 2}}}),
        (["part={}"], {"part": {}}),
        (["approximate=leak,reset"], {"approximate": frozenset({"leak", "reset"})}),
        (["approximate=leak"], {"approximate": frozenset({"leak"})}),
    ],
)
def test_settings_take_the_form_that_the_class_declares(given_: list[str], expected: dict[str, object]) -> None:
    values = arguments.settings(given_, Options, "--option")
    assert values == expected
    config.build(Options, values, "options are")


def test_settings_leave_unknown_keys_to_the_class() -> None:
    assert arguments.settings(["nonsense=1,2"], Options, "--option") == {"nonsense": "1,2"}


@pytest.mark.parametrize("given_", [["table.a=1", "table={}"], ["table={}", "table.a=1"], ["table=3", "table.a=1"]])
def test_a_table_is_given_as_a_whole_or_by_entry(given_: list[str]) -> None:
    if given_[0] == "table={}":
        # an empty table takes entries
        assert arguments.settings(given_, Options, "--option") == {"table": {"a": 1}}
    else:
        with pytest.raises(BadUsageError, match="as a whole and by entry"):
            arguments.settings(given_, Options, "--option")
