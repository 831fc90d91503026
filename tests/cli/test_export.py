"""`hal export`: where it goes, what it refuses, and that nothing half is left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import hal as neurohal
from hal.errors import PluginError
from hal_dynapcnn import samna_script

SPECK = ("--device", "speck2f", "--semantics", "sinabs", "--dt", "1ms")


@pytest.fixture
def mapping(hal, net: Path, tmp_path: Path) -> Path:
    """A saved mapping on a speck2f."""
    path = tmp_path / "net.mapping"
    assert hal("map", net, *SPECK, "--out", path).code == 0
    return path


def test_to_a_file_to_a_pipe_and_to_json(hal, mapping: Path, tmp_path: Path) -> None:
    text = neurohal.export(neurohal.read_mapping(mapping), "samna")
    assert isinstance(text, str)
    out = tmp_path / "net.py"
    outcome = hal("export", mapping, "--to", "samna", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"speck2f to samna, {len(text):,} bytes, written to {out}\n"
    assert out.read_text(encoding="utf-8") == text
    assert text.startswith('"""Registers of a speck2f for samna')
    outcome = hal("export", mapping, "--to", "samna")
    assert (outcome.code, outcome.out, outcome.err) == (0, text, "")
    facts = {"device": "speck2f", "to": "samna", "out": None, "bytes": len(text)}
    assert hal("export", mapping, "--to", "samna", "--json").json == {**facts, "text": text}
    other = tmp_path / "other.py"
    assert hal("export", mapping, "--to", "samna", "-o", other, "--json").json == {**facts, "out": str(other)}
    assert other.read_bytes() == out.read_bytes()


def test_in_a_process_of_its_own(child, mapping: Path, tmp_path: Path) -> None:
    done = child("export", mapping, "--to", "samna", PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    path = tmp_path / "piped.py"
    path.write_text(done.out, encoding="utf-8")
    ran = subprocess.run([sys.executable, "-S", path], capture_output=True, text=True, env={}, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "samna is not installed" in ran.stderr


@pytest.mark.parametrize(("to", "hint"), [("smna", "did you mean samna? exports of speck2f: samna"), ("x", "samna")])
def test_formats_that_are_not_exported(hal, mapping: Path, tmp_path: Path, to: str, hint: str) -> None:
    out = tmp_path / "net.py"
    outcome = hal("export", mapping, "--to", to, "--out", out)
    assert (outcome.code, outcome.out) == (2, "")
    assert f"error: speck2f is not exported to '{to}'" in outcome.err
    assert hint in outcome.flat
    document = hal("export", mapping, "--to", to, "--json")
    assert (document.code, document.json["error"]) == (2, "CapabilityError")
    assert not out.exists()


def test_a_device_that_exports_nothing(hal, net: Path, tmp_path: Path) -> None:
    path = tmp_path / "ideal.mapping"
    assert hal("map", net, "--device", "ideal", *SPECK[2:], "--out", path).code == 0
    outcome = hal("export", path, "--to", "samna")
    assert outcome.code == 2
    assert "exports of ideal: none" in outcome.flat


def test_nothing_is_overwritten(hal, mapping: Path, tmp_path: Path) -> None:
    for name in ("net.py", "net.mapping"):
        (tmp_path / "net.py").write_text("mine")
        before = (tmp_path / name).read_bytes()
        outcome = hal("export", mapping, "--to", "samna", "--out", tmp_path / name)
        assert outcome.code == 2
        assert "is there already" in outcome.err
        assert (tmp_path / name).read_bytes() == before
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for taken in (tmp_path, tmp_path / "link"):
        assert hal("export", mapping, "--to", "samna", "--out", taken).code == 2
    assert not (tmp_path / "nowhere").exists()
    outcome = hal("export", mapping, "--to", "samna", "--out", tmp_path / "no" / "net.py")
    assert outcome.code == 2
    assert f"there is no directory {tmp_path / 'no'}" in outcome.flat


def test_what_is_no_mapping(hal, net: Path, mapping: Path, tmp_path: Path) -> None:
    outcome = hal("export", net, "--to", "samna")
    assert outcome.code == 2
    assert "is no saved mapping" in outcome.err
    assert "hal map MODEL" in outcome.flat
    outcome = hal("export", tmp_path / "net.maping", "--to", "samna")
    assert outcome.code == 2
    assert f"did you mean {mapping}?" in outcome.flat
    damaged = tmp_path / "damaged.mapping"
    damaged.write_bytes(mapping.read_bytes().replace(b"manifest.json", b"manifest.jsom"))
    outcome = hal("export", damaged, "--to", "samna", "--out", tmp_path / "net.py")
    assert outcome.code == 1
    assert "not a saved mapping, or damaged" in outcome.err
    assert not (tmp_path / "net.py").exists()
    assert "Missing option" in hal("export", mapping).err


def test_a_format_that_is_no_text(hal, mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samna_script, "script", lambda mapping: b"\x00\xff")
    outcome = hal("export", mapping, "--to", "samna")
    assert (outcome.code, outcome.out) == (2, "")
    assert "give --out FILE" in outcome.err
    assert hal("export", mapping, "--to", "samna", "--out", tmp_path / "net.bin").code == 0
    assert (tmp_path / "net.bin").read_bytes() == b"\x00\xff"


def test_an_export_that_is_neither_text_nor_bytes(mapping: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samna_script, "script", lambda mapping: ["lines"])
    with pytest.raises(PluginError, match="returned list, not text or bytes"):
        neurohal.export(neurohal.read_mapping(mapping), "samna")


def test_a_file_that_cannot_be_written(hal, mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    out = tmp_path / "new" / "net.py"
    out.parent.mkdir()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        outcome = hal("export", mapping, "--to", "samna", "--out", out, "--json")
    assert (outcome.code, outcome.json["error"]) == (1, "WriteError")
    assert outcome.json["message"] == f"cannot write {out}: No space left on device"
    assert list(out.parent.iterdir()) == []


def test_a_file_that_appears_meanwhile(hal, mapping: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "net.py"
    out.parent.mkdir()
    script: Any = samna_script.script

    def slow(mapping: Any) -> str:
        out.write_text("theirs")
        return str(script(mapping))

    monkeypatch.setattr(samna_script, "script", slow)
    outcome = hal("export", mapping, "--to", "samna", "--out", out)
    assert outcome.code == 1
    assert "another program has written it meanwhile" in outcome.flat
    assert os.listdir(out.parent) == ["net.py"]
    assert out.read_text() == "theirs"


def test_info_names_the_exports(hal) -> None:
    document = json.loads(hal("info", "speck2f", "--json").out)
    assert document["exports"] == ["samna"]
    assert (document["vendor"], document["kinds"]) == ("samna", ["emulator", "hardware"])
    assert "samna" in hal("info", "speck2f").out


# --- recordings ------------------------------------------------------------------------------------------------------


@pytest.fixture
def recording(hal, net: Path, events: Path, tmp_path: Path) -> Path:
    assert (
        hal(
            "run", net, "--device", "ideal", "--semantics", "sinabs", "--dt", "1ms", "-i", events, "-o", tmp_path / "r"
        ).code
        == 0
    )
    return tmp_path / "r"


def test_a_recording_goes_to_hdf5_and_nir_data(hal, recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    outcome = hal("export", recording, "--to", "hdf5", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"recording of ideal to hdf5, 10 events, written to {out}\n"
    first, second = neurohal.read_recording(recording), neurohal.read_recording(out)
    assert {k: v.tolist() for k, v in first.spikes.items()} == {k: v.tolist() for k, v in second.spikes.items()}
    document = hal("export", out, "--to", "nir", "--out", tmp_path / "run.nir", "--json").json
    expected = {"device": "ideal", "to": "nir", "out": str(tmp_path / "run.nir"), "events": 10, "status": "ok"}
    assert document == expected
    read = neurohal.read_events(tmp_path / "run.nir", name="output/spikes")
    assert len(read.array) == 5


def test_parquet_of_a_recording_or_what_to_install(hal, recording: Path, tmp_path: Path, monkeypatch) -> None:
    if find_spec("pyarrow") is not None:
        assert hal("export", recording, "--to", "parquet", "--out", tmp_path / "p").code == 0
        assert neurohal.read_recording(tmp_path / "p").event_count() == 10
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = hal("export", recording, "--to", "parquet", "--out", tmp_path / "q")
    assert outcome.code == 1
    assert "pip install 'neurohal[parquet]'" in outcome.flat
    assert not (tmp_path / "q").exists()


def test_exports_of_recordings_that_are_refused(hal, recording: Path, tmp_path: Path) -> None:
    outcome = hal("export", recording, "--to", "hdf", "--out", tmp_path / "x")
    assert outcome.code == 2
    assert "not exported to 'hdf'" in outcome.err
    assert "did you mean hdf5?" in outcome.err
    outcome = hal("export", recording, "--to", "hdf5")
    assert (outcome.code, outcome.out) == (2, "")
    assert "give --out FILE" in outcome.err
    outcome = hal("export", recording, "--to", "hdf5", "--out", recording)
    assert outcome.code == 2
    assert "overwrites nothing" in outcome.err
    (tmp_path / "empty").mkdir()
    assert "no recording" in hal("export", tmp_path / "empty", "--to", "hdf5", "--out", tmp_path / "x").err


def test_what_there_is_of_an_unfinished_recording_is_exported(hal, recording: Path, tmp_path: Path) -> None:
    for folder in (recording / "signals", recording / "traces"):
        assert not folder.exists()
    stream = recording / "spikes" / "output.arrows"
    stream.write_bytes(stream.read_bytes()[:-20])
    outcome = hal("export", recording, "--to", "hdf5", "--out", tmp_path / "x.h5")
    assert outcome.code == 0
    assert "the recording is interrupted" in outcome.err
    assert neurohal.read_recording(tmp_path / "x.h5").status == "interrupted"
