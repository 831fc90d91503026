"""Recordings exported to NIR data, HDF5 and Parquet, and read back."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hal
from hal import EVENT, MemoryRecorder, Probe, Recording, Signal, export_recording, read_events, read_recording
from hal.errors import ConfigError, FormatError, OptionalDependencyError, WriteError
from hal.fit import Finding
from hal.recorder import RunHeader

PYARROW = find_spec("pyarrow") is not None
WHOLE = ("hdf5", "parquet") if PYARROW else ("hdf5",)
"""Formats that hold all of a recording, of those that can be written here."""
NASTY = ("a/b", "..", ".", "CON", "ä b", "x" * 200, "A/b", "")
MS = 1_000_000


def record(
    spikes: dict[str, list[tuple[int, int]]],
    *,
    duration_ns: int = 10 * MS,
    width: int = 2,
    dtype: Any = np.float64,
    status: Any = "ok",
    t: Any = (0, 5, 7),
    **changes: Any,
) -> Recording:
    fields: dict[str, Any] = {
        "device": "toy",
        "kind": "emulator",
        "nodes": dict.fromkeys(spikes, (2, 3)),
        "signals": {"sum": (width,)},
        "traces": (Probe("pop", "v", (0, 2), 100),),
        "cores": 2,
        "counters": ("synops",),
        "duration_ns": duration_ns,
        "step_ns": 1000,
        "seed": 3,
        "t0_ns": 40,
        "provenance": {"neurohal": "0.1", "options": {"rate": None}},
        "stimulus": {"input": hal.events([1, 2], [0, 1]), "analog": Signal.sampled(np.ones((2, 3), np.float32), 1000)},
    }
    recorder = MemoryRecorder()
    recorder.start(RunHeader(**(fields | changes)))
    for node, rows in spikes.items():
        events = np.array(rows, EVENT)
        recorder.emit(node, events["t"], events["index"])
    times = np.array(t, np.int64)
    recorder.sample("sum", "output", times, np.arange(len(times) * width).reshape(len(times), width).astype(dtype) / 3)
    recorder.sample("pop", "v", times, np.full((len(times), 2), np.nan, np.float32))
    recorder.count("synops", np.array([5, 1 << 60]))
    recorder.interval("ställ", -1, 10, 20)
    recorder.note(Finding(level="note", node="pop", field="x", reason="seen", wanted=1.5))
    return recorder.finish(status)


def everything(recording: Recording) -> dict[str, Any]:
    """All that a recording says, as bytes and plain values."""

    def column(data: Any) -> Any:
        if isinstance(data, Signal):
            return data.t.tobytes(), data.values.tobytes(), data.values.dtype, data.values.shape
        return data.tobytes(), data.dtype

    return {
        "header": recording.header.to_json(),
        "status": recording.status,
        "spikes": {node: column(data) for node, data in recording.spikes.items()},
        "signals": {node: column(data) for node, data in recording.signals.items()},
        "traces": {key: column(data) for key, data in recording.traces.items()},
        "stimulus": {port: column(data) for port, data in recording.stimulus.items()},
        "stats": {counter: (values.tolist(), values.dtype) for counter, values in recording.stats.items()},
        "intervals": (recording.intervals.tolist(), recording.intervals.dtype),
        "diagnostics": recording.diagnostics,
        "tallies": recording.tallies,
        "disorder": recording.disorder,
    }


def equal(a: Recording, b: Recording) -> bool:
    first, second = everything(a), everything(b)
    first["header"]["traces"] = [
        {key: list(v) if isinstance(v, tuple) else v for key, v in one.items()} for one in first["header"]["traces"]
    ]
    second["header"]["traces"] = [
        {key: list(v) if isinstance(v, tuple) else v for key, v in one.items()} for one in second["header"]["traces"]
    ]
    assert first == second
    return True


# --- hdf5 and parquet ------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 10 * MS - 1), st.integers(0, 5)), max_size=20),
    st.integers(0, 3),
    st.sampled_from([np.float64, np.float32]),
    st.sampled_from(["ok", "untrusted", "interrupted"]),
    st.lists(st.integers(0, 10 * MS - 1), max_size=4),
)
@pytest.mark.parametrize("to", WHOLE)
def test_everything_comes_back_equal(
    tmp_path: Path, to: str, spikes: Any, width: int, dtype: Any, status: str, t: list[int]
) -> None:
    recording = record({"pop": spikes, "silent": []}, width=width, dtype=dtype, status=status, t=t)
    path = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    assert export_recording(recording, path, to) == path
    back = read_recording(path)
    assert back.path == path
    assert equal(recording, back)


@pytest.mark.parametrize("to", WHOLE)
def test_any_name_and_many_rows_and_a_recording_on_disk(tmp_path: Path, to: str) -> None:
    rng = np.random.default_rng(1)
    rows = np.stack([np.sort(rng.integers(0, 10 * MS, 100_000)), rng.integers(0, 6, 100_000)], 1).tolist()
    names = {name: [(1, n % 6)] for n, name in enumerate(NASTY)}
    recording = record({"pop": [tuple(row) for row in rows], **names}).save(tmp_path / "run")
    export_recording(recording, tmp_path / "out", to)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    back = read_recording(tmp_path / "out")
    assert equal(recording, back)
    assert back.counts("pop").sum() == 100_000
    # an export is as good a recording: it goes on into the next format, and feeds the next run
    export_recording(back, tmp_path / "again.h5", "hdf5")
    assert equal(recording, read_recording(tmp_path / "again.h5"))
    if to == "parquet":
        assert read_events(tmp_path / "out", name="input").array.tolist() == [(1, 0), (2, 1)]


def test_hdf5_is_plain_for_other_readers(tmp_path: Path) -> None:
    recording = record({"pop": [(1, 0), (7, 5)]})
    with h5py.File(export_recording(recording, tmp_path / "run.h5", "hdf5"), "r") as file:
        assert file["spikes/pop/t"][()].tolist() == [1, 7]
        assert file["spikes/pop/index"].dtype == np.uint32
        assert dict(file["spikes/pop"].attrs) | {"shape": 0} == {"node": "pop", "variable": "spikes", "shape": 0}
        assert file["signals/sum/values"].shape == (3, 2)
        assert json.loads(file["recording"][()])["header"]["device"] == "toy"


def test_parquet_is_plain_for_other_readers(tmp_path: Path) -> None:
    recording = record({"pop": [(1, 0), (7, 5)]})
    if not PYARROW:
        with pytest.raises(OptionalDependencyError, match="pip install 'neurohal"):
            export_recording(recording, tmp_path / "run", "parquet")
        assert list(tmp_path.iterdir()) == []
        return
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(export_recording(recording, tmp_path / "run", "parquet") / "spikes/pop.parquet")
    assert table.to_pydict() == {"t": [1, 7], "index": [0, 5]}
    assert table.schema.metadata[b"time_unit"] == b"ns"


def test_without_pyarrow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = record({"pop": []})
    if PYARROW:
        export_recording(recording, tmp_path / "run", "parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OptionalDependencyError, match="writing Parquet takes the package pyarrow"):
        export_recording(recording, tmp_path / "other", "parquet")
    assert not (tmp_path / "other.partial").exists()
    if PYARROW:
        with pytest.raises(OptionalDependencyError, match=r"reading .* takes the package pyarrow"):
            _ = read_recording(tmp_path / "run").spikes["pop"]


def damage(path: Path, to: str) -> None:
    """One byte in the middle of the events."""
    target = path / "spikes" / "pop.parquet" if to == "parquet" else path
    data = bytearray(target.read_bytes())
    data[len(data) // 3] ^= 0xFF
    target.write_bytes(data)


@pytest.mark.parametrize("to", WHOLE)
def test_damage_is_a_format_error_or_noted(tmp_path: Path, to: str) -> None:
    recording = record({"pop": [(n, n % 6) for n in range(5000)]})
    path = export_recording(recording, tmp_path / "out", to)
    target = path / "spikes" / "pop.parquet" if to == "parquet" else path
    whole = target.read_bytes()
    if to == "parquet":
        damage(path, to)
        with pytest.raises(FormatError, match="checksum differs"):
            _ = read_recording(path).spikes["pop"]
    target.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match="cannot be read"):
        _ = read_recording(path, verify=False).spikes["pop"]


def test_hdf5_files_that_are_no_recordings(tmp_path: Path) -> None:
    path = export_recording(record({"pop": [(1, 0)]}), tmp_path / "run.h5", "hdf5")
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.create_group("node")
    with pytest.raises(FormatError, match="HDF5 and no recording"):
        read_recording(tmp_path / "model.h5")
    with pytest.raises(FormatError, match=r"is HDF5 but not NIR data \(it is a recording"):
        read_events(path)
    with h5py.File(path, "r+") as file:
        del file["spikes/pop/t"]
        file["spikes/pop/t"] = np.array([1, 2], np.int64)
    with pytest.raises(FormatError, match=r"spikes/pop has .*1 were exported"):
        _ = read_recording(path).spikes["pop"]
    (tmp_path / "secret.bin").write_bytes(bytes(8))
    with h5py.File(path, "r+") as file:
        del file["spikes/pop/t"]
        file["spikes/pop"].create_dataset("t", (1,), "<i8", external=[(str(tmp_path / "secret.bin"), 0, 8)])
    with pytest.raises(FormatError, match="stored outside the file"):
        _ = read_recording(path).spikes["pop"]
    with h5py.File(path, "r+") as file:
        del file["recording"]
        file["recording"] = 5
    with pytest.raises(FormatError, match="'recording' is no text"):
        read_recording(path)


# --- nir data --------------------------------------------------------------------------------------------------------


def test_nir_data_is_read_by_nir_and_by_us(tmp_path: Path) -> None:
    recording = record({"pop": [(0, 0), (7, 5), (9_999_999, 3)], "silent": []}, t=(0, MS, 2 * MS))
    path = export_recording(recording, tmp_path / "run.nir", "nir")
    data = nir.read_data(str(path))
    assert list(data.nodes) == ["pop", "silent", "sum"]
    spikes = data.nodes["pop"].observables["spikes"]
    assert (spikes.n_neurons, spikes.t_max, spikes.shape) == (6, 0.01, (1, 3))
    assert np.rint(spikes.time[0] * 1e9).tolist() == [0, 7, 9_999_999]
    assert spikes.idx[0].tolist() == [0, 5, 3]
    assert data.nodes["silent"].observables["spikes"].shape == (1, 0)
    values = data.nodes["sum"].observables["output"]
    assert isinstance(values, nir.TimeGriddedData)
    assert (values.dt, values.data.shape) == (0.001, (1, 3, 2))
    assert np.array_equal(values.data[0], recording.signals["sum"].values)
    read = hal.read_stimulus(path, hal.Port("x", (2, 3)), name="pop/spikes")
    assert not isinstance(read, Signal)
    assert read.tobytes() == recording.spikes["pop"].tobytes()
    signal = hal.read_stimulus(path, hal.Port("x", (2,), "signal"), name="sum/output")
    assert isinstance(signal, Signal)
    assert signal.t.tolist() == [0, MS, 2 * MS]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, (1 << 50) - 1), st.integers(0, 5)), max_size=20).map(sorted))
def test_times_in_seconds_come_back_to_the_ns(tmp_path: Path, spikes: Any) -> None:
    recording = record({"pop": spikes}, duration_ns=1 << 50)
    path = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    export_recording(recording, path, "nir")
    read = hal.read_stimulus(path, hal.Port("x", (6,)), name="pop/spikes")
    assert not isinstance(read, Signal)
    assert read.tobytes() == recording.spikes["pop"].tobytes()


def test_values_off_a_grid_are_events_with_values(tmp_path: Path) -> None:
    recording = record({"pop": []}, t=(0, 5, 7))
    data = nir.read_data(str(export_recording(recording, tmp_path / "run.nir", "nir")))
    values = data.nodes["sum"].observables["output"]
    assert isinstance(values, nir.ValuedEventData)
    assert values.idx[0].tolist() == [0, 1] * 3
    assert np.rint(values.time[0] * 1e9).tolist() == [0, 0, 5, 5, 7, 7]
    assert np.array_equal(values.value[0].reshape(3, 2), recording.signals["sum"].values)
    assert np.isnan(data.nodes["pop"].observables["v"].value).all()


def test_what_nir_data_cannot_hold_is_refused_at_once(tmp_path: Path) -> None:
    recording = record({"pop": [], "a/b": [], ".": []}, duration_ns=(1 << 50) + 1)
    with pytest.raises(ConfigError) as error:
        export_recording(recording, tmp_path / "run.nir", "nir")
    assert [problem.where for problem in error.value.problems] == ["a/b", ".", "duration_ns"]
    assert list(tmp_path.iterdir()) == []


# --- the target ------------------------------------------------------------------------------------------------------


def test_targets_and_arguments_that_are_refused(tmp_path: Path) -> None:
    recording = record({"pop": []})
    with pytest.raises(ConfigError, match=r"not exported to 'parkett'\n  hint: did you mean parquet"):
        export_recording(recording, tmp_path / "x", "parkett")
    with pytest.raises(ConfigError, match="takes a recording"):
        export_recording("run", tmp_path / "x", "hdf5")  # type: ignore[arg-type]
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ConfigError, match="overwrites nothing"):
        export_recording(recording, tmp_path / "taken", "hdf5")
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.parametrize("to", [*WHOLE, "nir"])
def test_what_the_disk_refuses_leaves_nothing_behind(tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if to == "parquet":
        import pyarrow.parquet

        monkeypatch.setattr(pyarrow.parquet, "write_table", full)
    else:
        monkeypatch.setattr(h5py.Group, "create_dataset", full)
    with pytest.raises(WriteError, match="No space left on device") as error:
        export_recording(record({"pop": [(1, 1)]}), tmp_path / "out", to)
    assert error.value.data["file"] == str(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


LIMITED = """
    import resource, sys
    import numpy as np
    import hal
    from hal.recorder import MemoryRecorder, RunHeader

    recorder = MemoryRecorder()
    recorder.start(RunHeader(device="toy", kind="emulator", nodes={"output": (1 << 30,)}, duration_ns=1 << 40))
    n = np.random.default_rng(0).integers(0, 1 << 30, 200_000)
    recorder.emit("output", n, n)
    recording = recorder.finish("ok")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    for to in sys.argv[2:]:
        try:
            hal.export_recording(recording, sys.argv[1] + to, to)
        except hal.WriteError as error:
            print(to, error.message.partition(":")[0].startswith("cannot write"))
"""


def test_a_limit_on_the_size_of_files_leaves_nothing_behind(tmp_path: Path) -> None:
    roots = os.pathsep.join([str(Path(hal.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), f"{tmp_path}/out.", *WHOLE, "nir"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": roots},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{to} True" for to in (*WHOLE, "nir")]
    assert list(tmp_path.iterdir()) == []
