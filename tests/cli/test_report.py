import json
import re
import sys

import numpy as np
import pytest

import hal as neurohal
from hal.report import figures


@pytest.fixture
def recording(hal, golden, tmp_path):
    """A run of a golden network, as the command line leaves it."""
    model = golden / "nir" / "sinabs_cnn_sumpool.nir"
    np.save(tmp_path / "in.npy", neurohal.events(np.arange(0, 50_000, 100), np.arange(500) % 30))
    done = hal("run", model, "--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms",
               "--input", tmp_path / "in.npy", "--out", tmp_path / "rec", "--json")  # fmt: skip
    assert done.code == 0, done.flat
    return tmp_path / "rec"


def test_a_report_is_written_and_has_the_runs_numbers(hal, recording, tmp_path):
    out = tmp_path / "report.html"
    done = hal("report", recording, "-o", out)
    assert done.code == 0, done.flat
    page = out.read_text(encoding="utf-8")
    numbers = json.loads(re.search(r'id="numbers">(.*?)</script>', page).group(1))
    made = neurohal.read_recording(recording)
    assert numbers["nodes"].keys() == made.shapes.keys()
    assert numbers["events"] == made.event_count()
    assert f"{made.event_count():,} events: {out.stat().st_size:,} bytes" in done.flat
    assert "<svg" in page


def test_the_facts_as_json(hal, recording, tmp_path):
    out = tmp_path / "report.html"
    facts = hal("report", recording, "--out", out, "--json").json
    assert facts == {
        "recording": str(recording), "device": "speck2f", "status": "ok", "out": str(out), "bytes": out.stat().st_size
    }  # fmt: skip


def test_an_older_report_is_replaced_and_nothing_else(hal, recording, tmp_path):
    out = tmp_path / "report.html"
    assert hal("report", recording, "-o", out).code == 0
    assert hal("report", recording, "-o", out).code == 0
    assert not list(tmp_path.glob("*.partial"))
    mine = tmp_path / "mine.html"
    mine.write_text("my page")
    done = hal("report", recording, "-o", mine)
    assert done.code == 2
    assert "is there already, and is no report" in done.flat
    assert mine.read_text() == "my page"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to write"),
        (("-o", "nowhere/report.html"), "there is no directory nowhere"),
        (("-o", "."), "is no ordinary file"),
    ],
)
def test_what_is_wrong_of_the_command_line(hal, recording, arguments, said, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = hal("report", recording, *arguments)
    assert done.code == 2
    assert said in done.flat


def test_what_is_no_recording(hal, tmp_path):
    done = hal("report", tmp_path / "none", "-o", tmp_path / "r.html")
    assert done.code == 2
    assert "there is no such folder" in done.flat
    (tmp_path / "empty").mkdir()
    done = hal("report", tmp_path / "empty", "-o", tmp_path / "r.html")
    assert done.code == 1
    assert "is not a recording" in done.flat
    assert not (tmp_path / "r.html").exists()


def test_a_page_that_cannot_be_written_leaves_nothing(hal, recording, tmp_path, monkeypatch):
    out = tmp_path / "report.html"
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    done = hal("report", recording, "-o", out)
    assert done.code == 1
    assert "cannot write" in done.flat
    assert "No space left" in done.flat
    assert not list(tmp_path.glob("report*"))


def test_pictures_need_matplotlib_and_say_so(hal, recording, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = hal("report", recording, "--png", tmp_path / "png")
    assert done.code == 1
    assert 'pip install "neurohal[plot]"' in done.flat
    assert not (tmp_path / "png").exists()


def test_pictures_go_to_a_folder_alone(hal, recording, tmp_path):
    (tmp_path / "file").write_text("")
    done = hal("report", recording, "--png", tmp_path / "file")
    assert done.code == 2
    assert "is no directory" in done.flat


class Canvas:
    """Stands for matplotlib's Figure: takes every call, and writes what it was asked for."""

    def __init__(self, **_):
        self.calls = []

    def savefig(self, path, **_):
        path.write_text("drawn")


def test_pictures_are_those_for_which_there_is_something_to_draw(recording, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_figure_class", lambda: Canvas)
    for name in ("_floorplan", "_rasters", "_load"):
        monkeypatch.setattr(figures, name, lambda of, figure, name=name: drawn.append(name) or figure())
    files = figures.write(neurohal.read_recording(recording), tmp_path / "new" / "png")
    assert [file.name for file in files] == ["floorplan.png", "raster.png", "load.png"]
    assert drawn == ["_floorplan", "_rasters", "_load"]
    (tmp_path / "file").write_text("")
    with pytest.raises(neurohal.WriteError):
        figures.write(neurohal.read_recording(recording), tmp_path / "file")


def test_pictures_by_matplotlib(hal, recording, tmp_path):
    pytest.importorskip("matplotlib", reason="extra `plot` is not installed")
    done = hal("report", recording, "--png", tmp_path / "png", "--json")
    assert done.code == 0, done.flat
    files = sorted(file.name for file in (tmp_path / "png").iterdir())
    assert files == ["floorplan.png", "load.png", "raster.png"]
    assert all((tmp_path / "png" / name).read_bytes()[:4] == b"\x89PNG" for name in files)
