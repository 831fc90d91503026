from __future__ import annotations

import io
import time
from pathlib import Path

import nir
import numpy as np
import pytest
from rich.console import Console

import hal as neurohal
from hal.cli import failures, feeding, runview, watching
from hal.events import Port, Signal
from hal.testing import registered

SPECK = ("--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms")
IDEAL = ("--device", "ideal", "--semantics", "sinabs", "--dt", "1ms")


@pytest.mark.parametrize("where", [SPECK, IDEAL], ids=["speck2f", "ideal"])
def test_a_run_shows_what_came_out(hal, net: Path, events: Path, where: tuple[str, ...]) -> None:
    outcome = hal("run", net, *where, "--input", events)
    assert (outcome.code, outcome.err) == (0, "")
    # the last event at 2.5 ms, rounded up to a step, plus one
    assert "Activity in 4 ms" in outcome.out
    assert "predicted class: 2 (argmax of spike counts)" in outcome.flat
    row = next(line for line in outcome.out.splitlines() if line.startswith("cells") and "Hz" in line)
    assert row.split()[2:5] == ["5", "1.667", "417"]
    assert "status ok" in outcome.out
    assert "events/s" in outcome.out
    assert "recording not kept" in outcome.out


def test_the_load_of_a_core_is_that_of_the_layer_it_holds(hal, net: Path, events: Path) -> None:
    outcome = hal("run", net, *SPECK, "--input", events, "--option", "fixed_cores.cells=2")
    assert "Load of the cores in 4 ms" in outcome.out
    row = outcome.out.split("Load of the cores")[1].splitlines()[3].split()
    # five events, three targets each, one spike each
    assert row[:-1] == ["2", "cells", "1.25", "kHz", "1.25", "kHz", "15", "3.75", "ksynops/s"]
    options = ("--input", events, "--option", "fixed_cores.cells=2", "--json")
    (load,) = hal("run", net, *SPECK, *options).json["load"]
    assert load == {
        "core": 2,
        "node": "cells",
        "nodes": ["cells"],
        "synops": 15,
        "synops_per_s": pytest.approx(3750),
        "events_in_hz": pytest.approx(1250),
        "events_out_hz": pytest.approx(1250),
    }


def test_a_core_that_several_layers_share_keeps_its_number(hal, readout: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([[1, 1], [0, 1]], np.int8))
    outcome = hal("run", readout, *IDEAL, "-i", tmp_path / "in.npy")
    row = outcome.out.split("Load of the cores")[1].splitlines()[3].split()
    assert row[:3] == ["0", "2", "populations"]
    (load,) = hal("run", readout, *IDEAL, "-i", tmp_path / "in.npy", "--json").json["load"]
    assert (load["core"], load["node"], load["nodes"]) == (0, None, ["cells", "values"])
    assert load["synops_per_s"] == pytest.approx(load["synops"] / 2e-3)


def test_where_nothing_was_counted_no_load_is_shown(hal, net: Path) -> None:
    assert "Load of the cores" not in hal("run", net, *SPECK, "--duration", "1ms").out
    (load,) = hal("run", net, *SPECK, "--duration", "1ms", "--json").json["load"]
    assert (load["node"], load["synops"], load["synops_per_s"]) == ("cells", 0, 0)


def test_a_run_as_json(hal, net: Path, events: Path, tmp_path: Path) -> None:
    outcome = hal("run", net, *SPECK, "--input", f"input={events}", "--json", "--out", tmp_path / "rec")
    document = outcome.json
    assert document["outputs"] == {
        "output": {"kind": "events", "shape": [3], "counts": [1, 1, 3], "argmax": 2},
    }
    assert document["spikes"] == {"output": 5, "cells": 5}
    assert document["duration_ns"] == 4_000_000
    assert document["events_in"] == 5
    assert document["status"] == "ok"
    assert document["path"] == str(tmp_path / "rec")
    assert document["mapping"]["placement"][0]["node"] == "cells"
    assert document["wall_s"] > 0
    recording = neurohal.read_recording(tmp_path / "rec")
    assert recording.spikes["output"]["index"].tolist() == [0, 2, 1, 2, 2]


def test_a_recording_is_replayed(hal, net: Path, events: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    hal("run", net, *SPECK, "-i", events, "--out", first)
    outcome = hal("run", net, *SPECK, "--from", first, "--out", second)
    assert outcome.code == 0
    one, two = neurohal.read_recording(first), neurohal.read_recording(second)
    assert one.duration_ns == two.duration_ns
    for node in ("cells", "output"):
        assert one.spikes[node].tobytes() == two.spikes[node].tobytes()
    # on another device the silent ports of the first chip are left out
    assert hal("run", net, *IDEAL, "--from", first, "--json").json["events_in"] == 5


def test_a_replay_is_rounded_up_to_the_steps_of_the_device(hal, net: Path, events: Path, tmp_path: Path) -> None:
    hal("run", net, "--device", "speck2f", "--semantics", "sinabs", "-i", events, "--out", tmp_path / "rec")
    # without a step the end is rounded up to 1 us, plus one
    assert neurohal.read_recording(tmp_path / "rec").duration_ns == 2_501_000
    assert hal("run", net, *IDEAL, "--from", tmp_path / "rec", "--json").json["duration_ns"] == 3_000_000


def test_a_saved_mapping_is_run(hal, net: Path, events: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.mapping"
    hal("map", net, *SPECK, "-o", target, "--record", "cells")
    outcome = hal("run", target, "-i", events, "--json")
    assert outcome.code == 0
    assert outcome.json["device"] == "speck2f"
    assert outcome.json["spikes"] == {"output": 5, "cells": 5}
    assert "net.mapping on speck2f" in hal("run", target, "--device", "speck2f", "-i", events).out


def test_what_a_saved_mapping_decides_cannot_be_said_again(hal, net: Path, events: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.mapping"
    hal("map", net, *SPECK, "-o", target)
    outcome = hal("run", target, "-i", events, "--semantics", "sinabs", "--dt", "1ms")
    assert outcome.code == 2
    assert "--semantics, --dt was decided when it was made" in outcome.flat
    assert hal("run", target, "-i", events, "--record", "cells").code == 2
    assert "a saved mapping can be run" in hal("check", target, *SPECK).flat
    outcome = hal("run", target, "-i", events, "--device", "ideal")
    assert outcome.code == 1
    assert "made for speck2f" in outcome.err


def test_what_is_recorded(hal, net: Path, events: Path, tmp_path: Path) -> None:
    def nodes(*record: str) -> set[str]:
        return set(hal("run", net, *IDEAL, "-i", events, "--json", *record).json["spikes"])

    assert nodes() == nodes("--record", "all") == {"output", "cells"}
    assert nodes("--record", "none") == {"output"}
    assert nodes("--record", "input,cells") == {"output", "input", "cells"}
    out = tmp_path / "rec"
    outcome = hal("run", net, *IDEAL, "-i", events, "--record", "all,cells:v@2ms", "--out", out)
    assert "cells.v: trace of 2 x 3 values" in outcome.out
    assert neurohal.read_recording(out).traces["cells", "v"].t.tolist() == [0, 2_000_000]
    assert hal("run", net, *IDEAL, "-i", events, "--record", "none,cells").code == 2


def test_where_not_all_can_be_recorded_the_outputs_are(hal, net: Path, events: Path) -> None:
    with registered(plugin(observables=(neurohal.Observable(variable="spikes", unit="events", at_once=2),)), "tiny"):
        outcome = hal("run", net, "--device", "tiny", "--semantics", "sinabs", "--dt", "1ms", "-i", events, "--json")
        assert outcome.code == 0
        assert set(outcome.json["spikes"]) == {"output"}
        assert "tiny cannot record all populations at once" in outcome.err


def test_rasters(hal, net: Path, tmp_path: Path) -> None:
    raster = np.zeros((10, 3), np.int8)
    raster[1, 2] = 2
    np.save(tmp_path / "raster.npy", raster)
    document = hal("run", net, *IDEAL, "-i", tmp_path / "raster.npy", "--json").json
    # its rows say how long it lasts, silent ones too
    assert document["duration_ns"] == 10_000_000
    assert document["outputs"]["output"]["counts"] == [0, 0, 2]


def test_units(hal, net: Path, events: Path) -> None:
    assert hal("run", net, *IDEAL, "-i", events, "--unit", "ms", "--json").json["duration_ns"] == 2_501_000_000
    outcome = hal("run", net, *IDEAL, "-i", events, "--unit", "years")
    assert outcome.code == 2
    assert "one of ns, us, ms, s" in outcome.err


def test_files_of_cameras_by_corner_and_first_event(hal, tmp_path: Path) -> None:
    nir.write(
        tmp_path / "image.nir",
        nir.NIRGraph(
            nodes={
                "input": nir.Input({"input": np.array([1, 2, 3])}),
                "cells": nir.IF(r=np.ones((1, 2, 3)), v_threshold=np.ones((1, 2, 3))),
                "output": nir.Output({"output": np.array([1, 2, 3])}),
            },
            edges=[("input", "cells"), ("cells", "output")],
        ),
    )
    # one event at 90 s, in the lower left pixel: 708,661 times 127 us and 53 us, then x 0, y 0, on
    head = b"Event Stream\x02\x00\x00\x01" + bytes([3, 0, 2, 0])
    (tmp_path / "a.es").write_bytes(head + b"\xff" * 708_661 + bytes([53 << 1 | 1, 0, 0, 0, 0]))

    def run(*options: str):
        out = tmp_path / f"rec{len(list(tmp_path.iterdir()))}"
        outcome = hal("run", tmp_path / "image.nir", *IDEAL, "-i", tmp_path / "a.es", "-o", out, *options)
        assert outcome.code == 0, outcome.err
        return outcome, neurohal.read_recording(out)

    outcome, recording = run("--from-first")
    assert outcome.err == ""
    assert recording.spikes["output"].tolist() == [(0, 3)]
    assert run("--from-first", "--origin", "top-left")[1].spikes["output"].tolist() == [(0, 0)]
    outcome = hal("run", tmp_path / "image.nir", *IDEAL, "-i", tmp_path / "a.es", "--timeout", "0.001")
    assert "the first event is at 90 s, and the run begins at 0; --from-first lets it begin there" in outcome.flat
    outcome = hal("run", tmp_path / "image.nir", *IDEAL, "-i", tmp_path / "a.es", "--origin", "left")
    assert outcome.code == 2
    assert "--origin left is no corner" in outcome.err


def test_durations(hal, net: Path, events: Path) -> None:
    assert hal("run", net, *IDEAL, "-i", events, "--duration", "7ms", "--json").json["duration_ns"] == 7_000_000
    outcome = hal("run", net, *IDEAL, "-i", events, "--duration", "2ms")
    assert outcome.code == 2
    assert "the stimulus has events until 2.5 ms" in outcome.flat
    assert "at least 4 ms" in outcome.flat
    outcome = hal("run", net, *IDEAL, "-i", events, "--duration", "4500us")
    assert outcome.code == 2
    assert "no whole number of steps" in outcome.flat


def test_silence_and_ties_predict_nothing(hal, net: Path, tmp_path: Path) -> None:
    outcome = hal("run", net, *IDEAL, "--duration", "5ms")
    assert outcome.code == 0
    assert "no spikes: no prediction" in outcome.out
    raster = np.ones((2, 3), np.int8)
    raster[:, 1] = 0
    np.save(tmp_path / "tie.npy", raster)
    assert "tie between 0, 2: no prediction" in hal("run", net, *IDEAL, "-i", tmp_path / "tie.npy").out


def test_values_out(hal, readout: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", np.array([[0, 1], [0, 1]], np.int8))
    outcome = hal("run", readout, *IDEAL, "-i", tmp_path / "in.npy")
    assert "predicted class: 1 (argmax of values after the last step)" in outcome.flat
    document = hal("run", readout, *SPECK, "-i", tmp_path / "in.npy", "--json").json
    assert document["outputs"]["output"]["kind"] == "signal"
    assert document["outputs"]["output"]["argmax"] == 1
    # the integrator is on the host: it has no place on the chip
    assert [place["node"] for place in document["mapping"]["placement"]] == ["cells"]


def test_a_large_output_shows_its_most_active_neurons(hal, tmp_path: Path) -> None:
    n = 30
    nodes = {
        "input": nir.Input({"input": np.array([n])}),
        "fc": nir.Linear(np.eye(n, dtype=np.float32)),
        "cells": nir.IF(r=np.ones(n), v_threshold=np.ones(n)),
        "output": nir.Output({"output": np.array([n])}),
    }
    names = list(nodes)
    edges = [(names[k], names[k + 1]) for k in range(3)]
    nir.write(tmp_path / "large.nir", nir.NIRGraph(nodes=nodes, edges=edges))
    np.save(tmp_path / "in.npy", np.tile(np.arange(n) // 10, (4, 1)))
    outcome = hal("run", tmp_path / "large.nir", *IDEAL, "-i", tmp_path / "in.npy")
    assert "spikes: 30 neurons, 120 in all; the largest are" in outcome.out
    assert "tie between 20, 21" in outcome.out


def test_open_options_and_seed_reach_the_device(hal, net: Path, events: Path) -> None:
    outcome = hal(
        "run", net, *SPECK, "-i", events, "--open", "odd_pooling=keep,slow_clock_hz=1e3", "--seed", 7, "--json"
    )
    header = outcome.json["recording"]
    assert header["provenance"]["options"]["odd_pooling"] == "keep"
    assert header["provenance"]["options"]["slow_clock_hz"] == 1000.0
    assert header["seed"] == 7
    outcome = hal("run", net, *SPECK, "-i", events, "--open", "odd_poling=keep")
    assert outcome.code == 2
    assert "did you mean 'odd_pooling'?" in outcome.err


# --- which file goes where ------------------------------------------------------------------------------------------

TWO = (Port("left", (2,)), Port("right", (2,)))
CLOCK = (Port("@clock", (1,)),)


def test_files_are_assigned_to_ports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "b=c.npy"):
        Path(name).touch()
    assert feeding.assign(["left=a.npy", "@clock=b=c.npy"], TWO, CLOCK) == {
        "left": Path("a.npy"),
        "@clock": Path("b=c.npy"),
    }
    # a file whose name holds a = sign goes into the one input there is
    assert feeding.assign(["b=c.npy"], TWO[:1], CLOCK) == {"left": Path("b=c.npy")}
    for given, said in (
        (["a.npy"], "the model has the inputs left, right"),
        (["lft=a.npy"], "no input 'lft'"),
        (["left=a.npy", "left=a.npy"], "left is given twice"),
        (["left=x.npy"], "there is no x.npy"),
        (["left=no/x.npy"], "there is no no/x.npy"),
    ):
        with pytest.raises(failures.BadUsageError, match=said):
            feeding.assign(given, TWO, CLOCK)


@pytest.mark.parametrize(
    ("last", "step", "end"),
    [
        (2_500_000, 1_000_000, 4_000_000),
        (3_000_000, 1_000_000, 4_000_000),
        (1_500, None, 3_000),
        (0, None, 1_000),
        (-1, 5, 0),
    ],
)
def test_the_end_of_a_run(last: int, step: int | None, end: int) -> None:
    assert feeding.after(last, step) == end


def test_several_inputs_and_signals(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.ones((6, 2)))
    np.save(tmp_path / "events.npy", np.array([(8_000_000, 1)], [("t", "<i8"), ("index", "<u4")]))
    ports = (Port("values", (2,), "signal"), Port("spikes", (2,)))
    given = [f"values={tmp_path / 'rows.npy'}", f"spikes={tmp_path / 'events.npy'}"]
    feed = feeding.from_files(given, ports, (), 1_000_000, None)
    assert isinstance(feed.stimulus["values"], Signal)
    assert feed.events == 1
    assert feed.last_ns == 8_000_000
    assert feed.duration_ns == 9_000_000
    assert feeding.from_files(given[:1], ports, (), 1_000_000, None).duration_ns == 6_000_000


# --- what goes wrong ------------------------------------------------------------------------------------------------


def test_arguments_that_contradict(hal, net: Path, events: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ([], "nothing goes in"),
        (["-i", events, "--from", tmp_path], "a run has one stimulus"),
        (["-i", events, "--timeout", "0"], "greater than 0"),
        (["-i", events, "--seed", "-1"], "an integer >= 0"),
        (["-i", events, "--out", tmp_path], "exists"),
        (["-i", events, "--duration", "0"], "at least 1 ns"),
    ):
        outcome = hal("run", net, *IDEAL, *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.flat


def test_an_existing_directory_is_left_as_it_was(hal, net: Path, events: Path, tmp_path: Path) -> None:
    out = tmp_path / "rec"
    hal("run", net, *IDEAL, "-i", events, "--out", out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    outcome = hal("run", net, *IDEAL, "--duration", "1ms", "--out", out)
    assert outcome.code == 2
    assert "a new directory" in outcome.err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_model_that_does_not_fit_does_not_run(hal, leaky: Path, events: Path, tmp_path: Path) -> None:
    outcome = hal("run", leaky, *SPECK, "-i", events, "--out", tmp_path / "rec")
    assert (outcome.code, outcome.out) == (1, "")
    assert "error: the model does not fit speck2f" in outcome.err
    assert "neuron.lif" in outcome.err
    assert f"hal check {leaky} --device speck2f" in outcome.flat
    assert not (tmp_path / "rec").exists()
    assert hal("run", leaky, *SPECK, "-i", events, "--json").json["report"]["fits"] is False


def test_no_device(hal, net: Path, events: Path) -> None:
    outcome = hal("run", net, "-i", events)
    assert outcome.code == 2
    assert "give --device NAME" in outcome.err
    assert "speck2f" in outcome.err


def test_input_files_that_cannot_be_used(hal, net: Path, tmp_path: Path) -> None:
    outcome = hal("run", net, *IDEAL, "-i", tmp_path / "event.npy")
    assert outcome.code == 2
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY garbage")
    assert hal("run", net, *IDEAL, "-i", tmp_path / "broken.npy").code == 1
    (tmp_path / "what.xyz").write_text("hello")
    outcome = hal("run", net, *IDEAL, "-i", tmp_path / "what.xyz")
    assert outcome.code == 1
    assert "in no format that can be read" in outcome.err
    bad = np.array([(5, 7), (3, 9)], [("t", "<i8"), ("x", "<i2")])
    np.save(tmp_path / "bad.npy", bad)
    outcome = hal("run", net, *IDEAL, "-i", tmp_path / "bad.npy")
    assert outcome.code == 1
    assert "x out of range" in outcome.err
    assert "time goes back" in outcome.err


def test_a_recording_that_is_none(hal, net: Path, tmp_path: Path) -> None:
    outcome = hal("run", net, *IDEAL, "--from", tmp_path / "nothing")
    assert outcome.code == 2
    (tmp_path / "empty").mkdir()
    outcome = hal("run", net, *IDEAL, "--from", tmp_path / "empty")
    assert outcome.code == 1


def test_a_mapping_that_is_none(hal, tmp_path: Path, events: Path) -> None:
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    outcome = hal("run", tmp_path / "other.npz", "-i", events)
    assert outcome.code == 1
    assert "is not a saved mapping" in outcome.err


# --- runs that are broken off ---------------------------------------------------------------------------------------


def plugin(behave=None, **spec_changes):
    """The ideal device under another name, with a run that ends as asked."""
    import attrs

    import hal_ideal.plugin as ideal
    from hal_ideal.device import IdealDevice
    from hal_ideal.mapper import IdealMapper

    spec = attrs.evolve(ideal.SPEC, name="tiny", family="tiny", **spec_changes)

    class Device(IdealDevice):
        def _run(self, stimulus, duration_ns, recorder):
            if behave is None:
                super()._run(stimulus, duration_ns, recorder)
            else:
                recorder.emit("output", np.array([0]), np.array([1]))
                recorder.advance(duration_ns // 2)
                behave(recorder)

    class Plugin:
        __name__ = "tiny.plugin"
        HAL_PLUGIN_API = "1.0"

        @staticmethod
        @neurohal.hookspecs.hookimpl
        def hal_devices():
            return [spec]

        @staticmethod
        @neurohal.hookspecs.hookimpl
        def hal_mapper(spec, profile):
            return IdealMapper(spec, profile)

        @staticmethod
        @neurohal.hookspecs.hookimpl
        def hal_open(spec, kind, serial, profile, seed, options):
            return Device(spec, kind=kind, serial=serial, profile=profile, seed=seed, options=options)

    return Plugin()


def interrupt(recorder) -> None:
    raise KeyboardInterrupt


def overrun(recorder) -> None:
    while True:
        time.sleep(0.01)
        recorder.advance(3_000_000)


TINY = ("--device", "tiny", "--semantics", "sinabs", "--dt", "1ms", "--duration", "8ms")


def test_an_interrupted_run_says_what_was_kept(hal, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "rec"
    with registered(plugin(interrupt), "tiny"):
        outcome = hal("run", net, *TINY, "--out", out)
        assert (outcome.code, outcome.out) == (130, "")
        assert "interrupted at 4 ms of 8 ms, with 1 event, after" in outcome.flat
        assert f"kept in {out}" in outcome.flat
        recording = neurohal.read_recording(out)
        assert recording.status == "interrupted"
        assert recording.spikes["output"]["index"].tolist() == [1]
        outcome = hal("run", net, *TINY)
        assert outcome.code == 130
        assert "nothing was kept" in outcome.err
        document = hal("run", net, *TINY, "--out", tmp_path / "again", "--json").json
        assert document["kept"] == str(tmp_path / "again")


def test_a_time_out_says_what_was_kept(hal, net: Path, tmp_path: Path) -> None:
    out = tmp_path / "rec"
    with registered(plugin(overrun), "tiny"):
        outcome = hal("run", net, *TINY, "--timeout", "0.05", "--out", out)
        assert outcome.code == 1
        assert "did not end within 0.05 s" in outcome.flat
        assert f"kept in {out}" in outcome.flat
        assert neurohal.read_recording(out).status == "interrupted"
        assert "nothing was kept" in hal("run", net, *TINY, "--timeout", "0.05").err


def trouble(recorder) -> None:
    recorder.count("dropped", [7])
    recorder.count("pending", [2])
    recorder.interval("stall", 0, 1_000_000, 2_000_000)
    recorder.distrust(neurohal.Finding(level="note", node="", field="clock", reason="the chip stalled"))


def test_trouble_on_the_chip_is_shown(hal, net: Path) -> None:
    with registered(plugin(trouble), "tiny"):
        outcome = hal("run", net, *TINY)
        assert outcome.code == 0
        assert "status untrusted" in outcome.out
        assert "dropped: 7" in outcome.out
        assert "pending: 2" in outcome.out
        assert "1 intervals of stall" in outcome.out
        assert "the chip stalled" in outcome.out


def fail(recorder) -> None:
    raise RuntimeError("a wire\ncame loose")


def test_an_unexpected_error_is_one_line_unless_debugged(hal, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with registered(plugin(fail), "tiny"):
        outcome = hal("run", net, *TINY)
        assert outcome.code == 1
        line = "error: RuntimeError: a wire came loose; this is a bug, run again with --debug\n"
        assert outcome.err == line
        for arguments in (["--debug", "run", net, *TINY], ["run", net, *TINY, "--debug"]):
            outcome = hal(*arguments)
            assert outcome.code == 1
            assert "Traceback (most recent call last)" in outcome.err
            assert outcome.err.endswith(line)
        monkeypatch.setenv("HAL_DEBUG", "1")
        assert "Traceback" in hal("run", net, *TINY).err
        monkeypatch.setenv("HAL_DEBUG", "0")
        document = hal("run", net, *TINY, "--json").json
        assert document["error"] == "RuntimeError"
        assert "this is a bug" in document["message"]


# --- what a run shows while it lasts --------------------------------------------------------------------------------


class Event:
    def __init__(self, start: bool) -> None:
        self.is_start, self.is_end = start, not start


def test_compiling_is_timed_from_the_outside() -> None:
    buffer = [(1.0, Event(True)), (2.0, Event(True)), (3.0, Event(False)), (4.0, Event(False)), (6.0, Event(True))]
    assert watching._spent(buffer[:4]) == 3.0
    assert watching._spent(buffer) == 3.0
    assert watching._began(buffer) == 6.0
    assert watching._began(buffer[:4]) is None
    assert watching._began(buffer[:2]) == 1.0


def test_compiling_is_said_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from numba.core import event

    monkeypatch.setattr(watching, "COMPILE_S", 0.02)
    monkeypatch.setattr(watching, "POLL_S", 0.005)
    with watching.compiling() as told:
        assert capsys.readouterr().err == ""
        with event.trigger_event("numba:compile"):
            time.sleep(0.15)
    assert "compiling kernels" in capsys.readouterr().err
    assert told.seconds >= 0.15


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """What progress is shown on, at once."""
    stream = Terminal()
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(watching, "console", lambda **_: Console(file=stream, force_terminal=True, width=140))
    monkeypatch.setattr(watching, "PATIENCE_S", 0.0)
    return stream


def test_progress_is_kept_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = watching.Progress(10_000_000, lambda: 1234)
    progress(4_000_000)
    progress.close()
    assert progress.reached().startswith("4 ms of 10 ms, with 1,234 events, after ")
    with watching.busy("mapping", quiet=False):
        time.sleep(0.02)
    assert capsys.readouterr() == ("", "")


def test_progress_shows_events_model_time_and_speed(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, *([2.0] * 99)])
    monkeypatch.setattr(watching.time, "monotonic", lambda: next(clock, 2.0))
    progress = watching.Progress(10_000_000_000, lambda: 1234)
    progress(4_000_000_000)
    progress.close()
    shown = " ".join(terminal.getvalue().split())
    assert "running" in shown
    assert "4 s of 10 s, 1,234 events, 2 x real time" in shown
    assert "40%" in shown


def test_a_long_map_says_that_it_goes_on(terminal: Terminal) -> None:
    with watching.busy("mapping a\x1bnet", quiet=False):
        time.sleep(0.3)
    assert "mapping a\\x1bnet" in terminal.getvalue()
    assert "0:00:00" in terminal.getvalue()


def test_json_shows_no_progress(terminal: Terminal, hal, net: Path, tmp_path: Path) -> None:
    def slow(recorder) -> None:
        for t in (1_000_000, 2_000_000):
            time.sleep(0.02)
            recorder.advance(t)

    with registered(plugin(slow), "tiny"):
        assert hal("run", net, *TINY, "--json").code == 0
        assert hal("map", net, "--device", "tiny", "--semantics", "sinabs", "--dt", "1ms", "--json").code == 0
        assert terminal.getvalue() == ""
        assert hal("run", net, *TINY).code == 0
    assert "1 event, " in terminal.getvalue()
    assert "mapping" in terminal.getvalue()


def test_results() -> None:
    def best(*values: float) -> list[int]:
        return runview.Result(name="o", shape=(3,), kind="events", values=np.array(values)).best

    assert best(1, 3, 2) == [1]
    assert best(3, 3, 2) == [0, 1]
    assert best(0, 0, 0) == []
    assert best(-1, -3, -2) == [0]
