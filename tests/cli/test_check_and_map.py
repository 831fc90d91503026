from __future__ import annotations

import zipfile
from pathlib import Path

import nir
import numpy as np
import pytest

import hal as neurohal
from hal.recorder import MemoryRecorder, RunHeader

SPECK = ("--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms")


def test_a_model_that_fits(hal, net: Path) -> None:
    outcome = hal("check", net, *SPECK)
    assert (outcome.code, outcome.err) == (0, "")
    assert f"{net} on speck2f: fits" in outcome.flat
    nodes = outcome.out.split("Resources")[0]
    lines = {line.split()[0]: line.split() for line in nodes.splitlines() if line.strip()}
    assert lines["input"][:4] == ["input", "Input", "3", "folded"]
    assert lines["fc"][3:] == ["folded", "into", "cells"]
    assert lines["cells"][3] == "changed"
    assert "kernel memory core" in outcome.flat
    assert "16,384" in outcome.out
    assert "Changed: runs, and not as the model says" in outcome.out
    assert "spikes_per_step" in outcome.out


def test_a_model_that_does_not_fit_says_every_reason(hal, leaky: Path) -> None:
    outcome = hal("check", leaky, *SPECK)
    assert outcome.code == 1
    assert "on speck2f: does not fit" in outcome.flat
    row = next(line for line in outcome.out.splitlines() if line.startswith("cells"))
    assert row.split()[3] == "refused"
    assert "does not declare 'neuron.lif'" in outcome.flat
    assert "`hal info` lists what it can do" in outcome.flat
    assert outcome.err == ""


def test_a_layer_that_is_too_large_is_shown_beside_its_limit(hal, wide: Path) -> None:
    outcome = hal("check", wide, *SPECK)
    assert outcome.code == 1
    row = next(line for line in outcome.out.splitlines() if line.startswith("kernel memory"))
    assert "262,144" in row
    assert "65,536" in row
    assert row.split()[-2:] == ["400%", "over"]
    assert "needs 262,144 8-bit words of kernel memory, limit 65,536" in outcome.flat


def test_the_verdict_of_every_node_as_json(hal, leaky: Path) -> None:
    outcome = hal("check", leaky, *SPECK, "--json")
    assert outcome.code == 1
    assert outcome.json["fits"] is False
    assert {row["node"]: row["verdict"] for row in outcome.json["nodes"]} == {
        "input": "folded",
        "fc": "fits",
        "cells": "refused",
        "output": "folded",
    }


def test_what_the_host_computes(hal, readout: Path) -> None:
    outcome = hal("check", readout, *SPECK, "--json")
    assert outcome.code == 0
    verdicts = {row["node"]: row["verdict"] for row in outcome.json["nodes"]}
    assert verdicts["values"] == "host"
    assert "on the host: weights (computed after the chip)" in hal("map", readout, *SPECK).flat


def test_findings_that_several_nodes_share_are_said_once(hal, golden: Path) -> None:
    outcome = hal("check", golden / "nir/paper_cnn_sinabs.nir", *SPECK)
    assert outcome.code == 0
    assert outcome.out.count("takes in") + outcome.flat.count("taken in event by event") == 1
    assert "1, 3, 6, 10, 12: spikes_per_step" in outcome.flat


@pytest.mark.parametrize(("command", "expected"), [("check", 1), ("map", 1), ("run", 1)])
def test_without_semantics_nir_is_assumed_and_said_once(hal, net: Path, command: str, expected: int) -> None:
    more = ("--duration", "1ms") if command == "run" else ()
    outcome = hal(command, net, "--device", "ideal", *more)
    assert outcome.code == expected
    assert outcome.err.count("no semantics given") == 1
    assert "--semantics sinabs" in outcome.err
    # a clocked device then refuses, and says what would help
    assert "--dt 1ms on the command line" in outcome.flat


def test_a_step_without_semantics(hal, net: Path) -> None:
    outcome = hal("check", net, "--device", "ideal", "--dt", "2ms")
    assert outcome.code == 0
    assert "in steps of 2ms" in outcome.flat
    assert "semantics nir (assumed), dt 2 ms" in outcome.flat


def test_semantics_from_a_file(hal, net: Path, tmp_path: Path) -> None:
    record = tmp_path / "mine.json"
    record.write_text('{"profile": "snntorch", "dt_ns": 500000}')
    outcome = hal("check", net, "--device", "ideal", "--semantics", record)
    assert (outcome.code, outcome.err) == (0, "")
    assert "semantics snntorch, dt 500 us" in outcome.out


def test_rates(hal, net: Path) -> None:
    outcome = hal("check", net, *SPECK, "--rate", "input=20kHz")
    assert outcome.code == 0
    # three targets for each event; the limit is no resource among the memories
    (row,) = [line.split() for line in outcome.out.split("At the given rates")[1].splitlines() if "cells" in line][:1]
    assert row[:8] == ["cells", "core", "0", "synops/s", "60", "ksynops/s", "100", "Msynops/s"]
    assert "synops/s" not in outcome.out.split("Resources")[1].split("At the given rates")[0]
    assert "At the given rates" not in hal("check", net, *SPECK).out
    outcome = hal("check", net, *SPECK, "--rate", "inputs=20kHz")
    assert outcome.code == 2
    assert "did you mean input" in outcome.err
    for wrong, said in (
        ("input=fast", "'fast' is not a rate"),
        ("input=20kEv", "Hz, kHz, MHz or GHz"),
        ("input=-1", "a number >= 0"),
        ("input", "not of the form NODE=20kHz"),
        ("input=1,input=2", "input is given twice"),
        ("fc=1kHz", "has no events of its own"),
        ("input=2e9MHz", "a rate is a number >= 0"),
    ):
        outcome = hal("check", net, *SPECK, "--rate", wrong)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.flat


def test_a_rate_that_is_too_high(hal, net: Path) -> None:
    asked = ("--rate", "input=20kHz", "--option", "synops_limits.cells=5e4")
    outcome = hal("check", net, *SPECK, *asked)
    assert outcome.code == 1
    assert "on speck2f: does not fit at the given rates" in outcome.flat
    table, rest = outcome.out.split("At the given rates")[1].split("Over a limit at the given rates")
    assert next(line for line in table.splitlines() if "cells" in line).split()[-2:] == ["120%", "over"]
    assert "cells on core 0: needs 60 ksynops/s, limit 50 ksynops/s" in rest
    assert "> fewer channels or fewer events; the limit is that of synops_limits" in " ".join(rest.split())
    assert "Refused" not in outcome.out
    document = hal("check", net, *SPECK, *asked, "--json").json
    assert document["fits"] is False
    (row,) = [row for row in document["rows"] if row["when"] == "run"]
    assert (row["node"], row["place"], row["needed"], row["limit"], row["ok"]) == ("cells", "core 0", 6e4, 5e4, False)
    verdicts = {row["node"]: (row["verdict"], row["why"]) for row in document["nodes"]}
    assert verdicts["cells"] == ("over", "synops/s on core 0")
    # it maps all the same: what became of the other nodes is known
    assert verdicts["fc"] == ("folded", "into cells")
    assert hal("map", net, *SPECK, *asked[2:]).code == 0


def test_rates_from_a_recording(hal, net: Path, events: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "rec"
    assert hal("run", net, *SPECK, "-i", events, "--out", recorded).code == 0

    def needed(*how: object) -> list[float]:
        rows = hal("check", net, *SPECK, *how, "--json").json["rows"]
        return [row["needed"] for row in rows if row["when"] == "run"]

    # five events in 4 ms, three updates each
    assert needed("--rate-from", recorded) == [pytest.approx(3 * 5 / 4e-3)]
    assert needed("--rate-from", recorded, "--rate", "input=1kHz") == [3000]
    assert needed("--rate-from", recorded, "--rate", "cells=1kHz") == [pytest.approx(3 * 5 / 4e-3)]


def test_recordings_that_give_no_rates(hal, net: Path, wide: Path, tmp_path: Path) -> None:
    def recording(name: str, duration_ns: int = 1000, status="ok", nodes=("other",), **fed) -> Path:
        recorder = MemoryRecorder()
        header = RunHeader(
            device="toy", kind="emulator", nodes=dict.fromkeys(nodes, (3,)), duration_ns=duration_ns, stimulus=fed
        )
        recorder.start(header)
        path = recorder.finish(status).save(tmp_path / name).path
        assert path is not None
        return path

    def check(path: Path):
        return hal("check", net, *SPECK, "--rate-from", path)

    outcome = check(recording("strange"))
    assert (outcome.code, outcome.out) == (2, "")
    assert "none of the nodes recorded (other)" in outcome.flat
    assert "nodes: input, fc, cells, output" in outcome.flat
    outcome = check(recording("empty", nodes=()))
    assert outcome.code == 2
    assert "none of the nodes recorded (nothing)" in outcome.flat
    outcome = check(recording("partly", nodes=("other", "output", "cells")))
    assert outcome.code == 0
    assert "the model has no other; the rates of these are left out" in outcome.err
    # nobody says how active the input was
    assert "no rate is known of input: nothing is said of the load of cells" in outcome.flat
    assert "At the given rates" not in outcome.out
    outcome = check(recording("short", 0))
    assert (outcome.code, outcome.out) == (2, "")
    assert "a run of 0 ns has no rates" in outcome.err
    outcome = check(recording("broken", status="interrupted"))
    assert outcome.code == 2
    assert "an interrupted recording has no rates" in outcome.err
    assert check(tmp_path / "nothing").code == 2
    (tmp_path / "folder").mkdir()
    assert check(tmp_path / "folder").code == 1


def test_options_reach_the_mapper(hal, net: Path, tmp_path: Path) -> None:
    target = tmp_path / "net.mapping"
    outcome = hal("map", net, *SPECK, "--option", "reserved_cores=0,1,quantisation=sinabs", "--out", target)
    assert outcome.code == 0
    assert int(neurohal.read_mapping(target).where("cells")["core"][0]) == 2
    assert "core 2" in hal("check", net, *SPECK, "--option", "fixed_cores.cells=2").out


def test_approximations_reach_the_mapper(hal, net: Path) -> None:
    json = hal("map", net, *SPECK, "--approximate", "leak", "--option", "approximate=reset", "--json").json
    assert json["fit"]["fits"]
    outcome = hal("map", net, *SPECK, "--approximate", "leek")
    assert outcome.code == 2
    assert "did you mean 'leak'?" in outcome.err
    outcome = hal("map", net, *SPECK, "--option", "approximat=leak")
    assert outcome.code == 2
    assert "did you mean 'approximate'?" in outcome.err


def test_map_shows_places_and_losses_and_writes(hal, golden: Path, tmp_path: Path) -> None:
    target = tmp_path / "paper.mapping"
    outcome = hal("map", golden / "nir/paper_cnn_sinabs.nir", *SPECK, "-o", target)
    assert (outcome.code, outcome.err) == (0, "")
    assert "Placement" in outcome.out
    row = next(line for line in outcome.out.splitlines() if line.startswith("10") and "256" in line and "/" in line)
    assert "32,768/32,768" in row
    assert "rounded to 0" in outcome.out
    assert f"written to {target}" in outcome.out
    mapping = neurohal.read_mapping(target)
    assert mapping.device == "speck2f"
    assert mapping.record == ()


def test_map_as_json(hal, net: Path, tmp_path: Path) -> None:
    document = hal("map", net, *SPECK, "--json", "--record", "cells,cells:v", "-o", tmp_path / "m").json
    assert document["placement"] == [
        {
            "node": "cells",
            "neurons": 3,
            "chips": [0],
            "cores": document["placement"][0]["cores"],
            "used": document["placement"][0]["used"],
        }
    ]
    assert [fate["node"] for fate in document["fates"]] == ["input", "fc", "cells", "output"]
    assert [(probe["node"], probe["variable"]) for probe in document["record"]] == [("cells", "spikes"), ("cells", "v")]
    assert zipfile.is_zipfile(tmp_path / "m")


def test_map_of_a_model_that_does_not_fit_writes_nothing(hal, leaky: Path, tmp_path: Path) -> None:
    target = tmp_path / "leaky.mapping"
    outcome = hal("map", leaky, *SPECK, "--out", target)
    assert outcome.code == 1
    assert "Refused" in outcome.out
    assert "was not written" in outcome.err
    assert not target.exists()
    document = hal("map", leaky, *SPECK, "--json").json
    assert document["error"] == "DoesNotFitError"
    assert document["report"]["fits"] is False
    assert any("neuron.lif" in problem["what"] for problem in document["problems"])


@pytest.mark.parametrize("target", ["", "missing/net.mapping"])
def test_map_to_a_place_that_is_none(hal, net: Path, tmp_path: Path, target: str) -> None:
    outcome = hal("map", net, *SPECK, "--out", tmp_path / target)
    assert (outcome.code, outcome.out) == (2, "")
    assert "give the name of a file" in outcome.err


def test_recording_what_there_is_not(hal, net: Path) -> None:
    outcome = hal("map", net, *SPECK, "--record", "cels")
    assert outcome.code == 2
    assert "did you mean cells?" in outcome.err
    assert hal("map", net, *SPECK, "--record", "cells:v@fast").code == 2
    outcome = hal("map", net, *SPECK, "--record", "cells:u")
    assert outcome.code == 1
    assert "not observable here" in outcome.err


def test_names_from_a_file_do_not_steer_the_terminal(hal, hostile: Path) -> None:
    outcome = hal("check", hostile, *SPECK)
    assert "\x1b" not in outcome.out + outcome.err
    assert r"cells\x1b[31m[bold]" in outcome.out + outcome.err


def test_map_shows_every_neuron_behind_an_output(hal, net: Path) -> None:
    outcome = hal("map", net, *SPECK)
    lines = outcome.out.split("Outputs\n")[1].splitlines()
    assert lines[0].split() == ["output", "layer", "index", "chip", "core", "neuron", "feature", "y", "x"]
    assert [line.split()[:6] for line in lines[2:5]] == [
        ["output", "cells", str(k), "0", "0", str(k)] for k in range(3)
    ]
    found = hal("map", net, *SPECK, "--json").json["outputs_at"]["output"]
    assert [(row["node"], row["index"], row["core"]) for row in found] == [("cells", k, 0) for k in range(3)]


def test_of_a_large_output_some_neurons_are_shown_and_the_others_counted(hal, tmp_path: Path) -> None:
    path = tmp_path / "wide.nir"
    cells = nir.IF(r=np.ones(40), v_threshold=np.ones(40))
    parts = {"input": nir.Input({"input": np.array([3])}), "fc": nir.Linear(np.ones((40, 3), np.float32))}
    parts |= {"cells": cells, "output": nir.Output({"output": np.array([40])})}
    edges = [("input", "fc"), ("fc", "cells"), ("cells", "output")]
    nir.write(path, nir.NIRGraph(parts, edges))
    outcome = hal("map", path, *SPECK)
    assert "output: 28 more; mapping.where('output') has all" in outcome.flat
    assert len(hal("map", path, *SPECK, "--json").json["outputs_at"]["output"]) == 40
