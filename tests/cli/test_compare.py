from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hal.cli import compareview, comparing

IF = ("--semantics", "sinabs", "--dt", "1ms")


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three samples of events in ns: on channel 0 alone, on 1 alone, and more on 2 than on 1."""
    np.savez(
        tmp_path / "set.npz", t=[0, 10**6, 0, 0, 10**6, 2 * 10**6], index=[0, 0, 1, 1, 2, 2], splits=[0, 2, 3, 6],
        labels=[0, 1, 0],
    )  # fmt: skip
    return tmp_path / "set.npz"


def rows(out: str, heading: str) -> dict[str, list[str]]:
    """Lines of the table under a heading, by their first word."""
    block = out.split(f"{heading}\n", 1)[1].split("\n\n")[0]
    return {line.split()[0]: line.split() for line in block.splitlines()[2:]}


def test_a_table_of_all_that_was_found(hal, net: Path, labelled: Path) -> None:
    outcome = hal("compare", net, labelled, *IF, "-d", "speck2f,loihi", "--devices", "dynapse2")
    assert (outcome.code, outcome.err) == (0, "")
    assert "3 samples of 3 ms, 6 events in all, 2 classes by most spikes" in outcome.out
    verdicts = rows(outcome.out, "Verdicts")
    assert verdicts["ideal"][:4] == ["ideal", "runs", "0", "66.7"]
    assert verdicts["speck2f"][1:7] == ["runs", "1", "66.7", "%", "100.0", "%"]
    assert verdicts["loihi"][1:] == ["no", "fit"]
    assert "speck2f: 1 core, " in outcome.flat
    layers = rows(outcome.out, "Layers")
    assert layers["cells"] == ["cells", "ideal", "6"]
    assert layers["speck2f"][:4] == ["speck2f", "6", "100.0", "%"]
    assert "speck2f: none: every spike is that of `ideal`" in outcome.flat
    assert "cells: spike_reset" in outcome.flat
    assert "allow it with approximate={'reset'}" in outcome.flat


def test_what_may_be_approximated(hal, net: Path, labelled: Path) -> None:
    outcome = hal("compare", net, labelled, *IF, "-d", "loihi", "--approximate", "reset")
    assert outcome.code == 0
    assert rows(outcome.out, "Verdicts")["loihi"][1] == "runs"
    assert "changed: cells.spike_reset" in outcome.flat
    none = hal("compare", net, labelled, *IF, "-d", "loihi", "--approximate", "magic")
    assert none.code == 2
    assert "magic" in none.err


def test_nothing_is_wider_than_a_terminal(hal, net: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    outcome = hal("compare", net, labelled, *IF, "--approximate", "reset")
    assert max(map(len, outcome.out.splitlines())) <= 80
    assert "dynapse2-dynapsim" in outcome.out
    # devices of which the same is to be said share a paragraph
    assert re.search(r"speck2b, .*speck2f: runs", outcome.flat)


def test_one_document(hal, net: Path, labelled: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", [0, 1, 2])
    outcome = hal("compare", net, labelled, *IF, "-d", "speck2f", "--labels", tmp_path / "labels.npy", "--json")
    document = outcome.json
    (speck,) = document["devices"]
    assert (speck["device"], speck["verdict"], speck["accuracy"]) == ("speck2f", "runs", 1.0)
    assert document["reference"]["predictions"] == [0, 1, 2]
    assert document["model"] == str(net)
    assert document["html"] is None


def test_the_page(hal, net: Path, labelled: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    outcome = hal("compare", net, labelled, *IF, "-d", "speck2f,loihi", "--html", target)
    assert f"written to {target}" in outcome.out
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "66.7 %" in text
    assert "spike_reset" in text
    assert hal("compare", net, labelled, *IF, "--html", tmp_path / "no" / "page.html").code == 2


def test_one_stimulus_as_hal_run_takes_it(hal, net: Path, events: Path) -> None:
    for given in (events, f"input={events}"):
        document = hal("compare", net, given, *IF, "-d", "speck2f", "--json").json
        assert (document["samples"], document["events"], document["duration_ns"]) == (1, 5, 4_000_000)
        assert document["devices"][0]["predictions"] == [2]
    assert (
        hal("compare", net, events, *IF, "-d", "speck2f", "--duration", "9ms", "--json").json["duration_ns"]
        == 9 * 10**6
    )
    # 2.5 ms as 2.5 s
    assert hal("compare", net, events, *IF, "-d", "speck2f", "--unit", "ms", "--json").json["duration_ns"] > 10**9


def test_options_of_single_devices(hal, net: Path, labelled: Path) -> None:
    options = ("--option", "speck2f:fixed_cores.cells=5", "--open", "speck2f:rate=none")
    (speck,) = hal("compare", net, labelled, *IF, "-d", "speck2f", *options, "--json").json["devices"]
    assert speck["options"]["fixed_cores"] == {"cells": 5}
    assert speck["verdict"] == "runs"


def test_where_nothing_runs_the_code_says_so(hal, leaky: Path, labelled: Path) -> None:
    outcome = hal("compare", leaky, labelled, *IF, "-d", "speck2f")
    assert outcome.code == 1
    assert "LIF neurons are not on this chip" in outcome.flat


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["-d", "speck9"], "speck9"),
        (["--read", "loudest"], "read"),
        (["--timeout", "0"], "--timeout"),
        (["--option", "fixed_cores.cells=5"], "DEVICE:KEY=VALUE"),
        (["-d", "loihi", "--option", "speck2f:fixed_cores.cells=5"], "not compared"),
        (["--labels", "gone.npy"], "gone.npy"),
        (["--window", "soon"], "--window"),
        (["--duration", "1ms"], "after their end"),
    ],
)
def test_a_wrong_command_line(hal, net: Path, labelled: Path, more: list[str], says: str) -> None:
    outcome = hal("compare", net, labelled, *IF, *more)
    assert outcome.code == 2
    assert says in outcome.flat


def test_a_model_needs_a_stimulus(hal, net: Path) -> None:
    outcome = hal("compare", net, *IF)
    assert outcome.code == 2
    assert "STIMULUS" in outcome.err


# --- two of a kind ----------------------------------------------------------------------------------------------------


def test_two_recordings(hal, net: Path, events: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ("--duration", "5ms"))):
        hal("run", net, *IF, "-d", "speck2f", "-i", events, "--out", tmp_path / name, *more)
    np.save(tmp_path / "fewer.npy", np.load(events)[:3])
    hal("run", net, *IF, "-d", "speck2f", "-i", tmp_path / "fewer.npy", "--duration", "4ms", "--out", tmp_path / "c")
    same = hal("compare", tmp_path / "a", tmp_path / "b")
    assert same.code == 0
    assert "the same" in same.flat
    assert "duration_ns: 4000000 and 5000000" in same.flat
    other = hal("compare", tmp_path / "a", tmp_path / "c")
    assert other.code == 1
    assert "first difference at" in other.out
    assert rows(other.out, "Spikes")["cells"][:3] == ["cells", "5", "3"]
    document = hal("compare", tmp_path / "a", tmp_path / "c", "--json").json
    assert (document["same"], document["first"]["index"]) == (False, 2)


def test_two_mappings(hal, net: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ("--option", "fixed_cores.cells=5"))):
        hal("map", net, *IF, "-d", "speck2f", "--out", tmp_path / name, *more)
    assert hal("compare", tmp_path / "a", tmp_path / "a").code == 0
    outcome = hal("compare", tmp_path / "a", tmp_path / "b")
    assert outcome.code == 1
    assert "cells: 3 of its neurons moved, core 0 -> core 5" in outcome.flat


def test_two_that_are_not_of_a_kind(hal, net: Path, events: Path, tmp_path: Path) -> None:
    hal("map", net, *IF, "-d", "speck2f", "--out", tmp_path / "m")
    hal("run", net, *IF, "-d", "speck2f", "-i", events, "--out", tmp_path / "r")
    for arguments, says in (
        ([tmp_path / "m"], "one more mapping"),
        ([tmp_path / "r"], "one more recording"),
        ([tmp_path / "m", tmp_path / "r"], "is none"),
        ([tmp_path / "r", tmp_path / "m"], "is none"),
        ([tmp_path / "m", tmp_path / "m", "--labels", "x"], "says nothing about two mappings"),
        ([tmp_path / "m", tmp_path / "m", "--dt", "1ms"], "says nothing about two mappings"),
    ):
        outcome = hal("compare", *arguments)
        assert outcome.code == 2
        assert says in outcome.flat


# --- progress ---------------------------------------------------------------------------------------------------------


def test_progress_is_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []

    class Bar:
        def update(self, task: Any, **what: Any) -> None:
            shown.append(what)

        def stop(self) -> None:
            shown.append({"stopped": True})

    monkeypatch.setattr(comparing, "PATIENCE_S", 0.0)
    quiet = comparing.Watch()
    quiet("loihi", "run", 1, 4)
    quiet.close()
    assert shown == []
    watch = comparing.Watch()
    monkeypatch.setattr(watch, "_console", type("Terminal", (), {"is_terminal": True})())
    monkeypatch.setattr(watch, "_open", lambda: watch.__dict__.update(_bar=Bar(), _task=0))
    watch("loihi", "run", 1, 4)
    watch.close()
    assert shown == [{"description": "loihi: run", "completed": 1, "total": 4}, {"stopped": True}]


def test_shares_in_words() -> None:
    assert [compareview.percent(value) for value in (None, 0.0, 0.125, 1.0)] == ["-", "0.0 %", "12.5 %", "100.0 %"]
