"""The seeded event camera of the examples, and the recording that is shipped from it."""

from __future__ import annotations

import importlib.util
import io
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("event_camera", EXAMPLES / "event_camera.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["event_camera"] = module
    spec.loader.exec_module(module)
    return module


ec = _load()
QUIET = ec.Camera(noise_hz=0.0)
STILL = ec.Camera(noise_hz=0.0, amplitude_px=0.0)


def _assert_well_formed(events: np.ndarray, camera: object) -> None:
    size, duration = camera.size, camera.duration_us  # type: ignore[attr-defined]
    assert events.dtype == ec.EVENT_DTYPE
    assert np.all(np.diff(events["t"]) >= 0)
    for axis in ("x", "y"):
        assert np.all((events[axis] >= 0) & (events[axis] < size))
    assert np.all((events["t"] >= 0) & (events["t"] < duration))
    assert set(np.unique(events["p"])) <= {0, 1}


def _shortest_pause(events: np.ndarray) -> int:
    """Shortest time between two events of one pixel, microseconds."""
    order = np.lexsort((events["t"], events["x"], events["y"]))
    e = events[order]
    same = (e["x"][1:] == e["x"][:-1]) & (e["y"][1:] == e["y"][:-1])
    pauses = np.diff(e["t"])[same]
    return int(pauses.min()) if len(pauses) else 10**9


def test_same_seed_same_bytes() -> None:
    assert ec.record_digit(3, 5)[0].tobytes() == ec.record_digit(3, 5)[0].tobytes()


def test_other_seed_or_digit_other_events() -> None:
    first = ec.record_digit(3, 5)[0].tobytes()
    assert ec.record_digit(3, 6)[0].tobytes() != first
    assert ec.record_digit(4, 5)[0].tobytes() != first


def test_recording_does_not_depend_on_what_came_before() -> None:
    batch = list(ec.held_out(3, seed=9))
    events, label = ec.record_digit(1502, 9)
    assert batch[2][0].tobytes() == events.tobytes()
    assert batch[2][1] == label


def test_dtype_is_packed_little_endian() -> None:
    assert ec.EVENT_DTYPE.names == ("x", "y", "t", "p")
    assert ec.EVENT_DTYPE.itemsize == 13


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    index=st.integers(0, 1499),
    threshold=st.floats(0.1, 1.0),
    refractory=st.integers(1, 8_000),
    noise=st.floats(0.0, 20.0),
    amplitude=st.floats(0.0, 12.0),
    size=st.integers(8, 40),
)
def test_events_are_well_formed_for_any_camera(
    seed: int, index: int, threshold: float, refractory: int, noise: float, amplitude: float, size: int
) -> None:
    camera = ec.Camera(
        size=size, threshold=threshold, refractory_us=refractory, noise_hz=noise, amplitude_px=amplitude,
        saccade_us=20_000,
    )  # fmt: skip
    events, label = ec.record_digit(index, seed, camera)
    _assert_well_formed(events, camera)
    assert 0 <= label <= 9
    assert _shortest_pause(events) >= refractory


def test_resembles_nmnist_in_counts() -> None:
    recordings = [ec.record_digit(i, 1)[0] for i in range(20)]
    assert 1500 < np.mean([len(e) for e in recordings]) < 4500
    assert 0.4 < np.mean([e["p"].mean() for e in recordings]) < 0.6
    per_saccade = np.sum([np.histogram(e["t"], [0, 100_000, 200_000, 300_000])[0] for e in recordings], axis=0)
    assert per_saccade.min() > 0.6 * per_saccade.max()


def test_an_image_that_does_not_move_sends_nothing() -> None:
    image, _ = ec.digit(0)
    assert len(ec.record(image, 1, STILL)) == 0


def test_a_blank_image_sends_nothing_but_noise() -> None:
    assert len(ec.record(np.zeros((8, 8)), 1, QUIET)) == 0
    camera = ec.Camera(noise_hz=10.0)
    events = ec.record(np.zeros((8, 8)), 1, camera)
    expected = camera.noise_hz * camera.size**2 * camera.duration_us * 1e-6
    assert abs(len(events) - expected) < 6 * expected**0.5 + 0.05 * expected
    assert 0.45 < events["p"].mean() < 0.55
    assert len(np.unique(events["y"].astype(int) * camera.size + events["x"])) > 0.9 * camera.size**2


def test_noise_has_its_rate_and_is_sorted() -> None:
    camera = ec.Camera(noise_hz=50.0)
    events = ec.noise_events(camera, np.random.default_rng(0))
    _assert_well_formed(events, camera)
    expected = 50.0 * 34 * 34 * 0.3
    assert abs(len(events) - expected) < 5 * expected**0.5


@pytest.mark.parametrize(("sign", "polarity"), [(1.0, 1), (-1.0, 0)])
def test_a_ramp_of_light_crosses_each_threshold_once(sign: float, polarity: int) -> None:
    camera = ec.Camera(size=2, threshold=0.25, mismatch=0.0, refractory_us=1)
    log_light = sign * np.linspace(0.0, 1.1, 12)
    light = np.exp(log_light)[:, None, None] * np.ones((1, 2, 2))
    events = ec.contrast_events(light, 1000, camera, np.random.default_rng(0))
    assert set(events["p"]) == {polarity}
    times = events["t"][(events["x"] == 0) & (events["y"] == 0)]
    assert np.allclose(times, [2500, 5000, 7500, 10_000], atol=10)
    assert len(events) == 4 * 4


def test_refractory_time_swallows_change() -> None:
    light = np.exp(np.linspace(0.0, 2.0, 21))[:, None, None] * np.ones((1, 1, 1))
    counts = [
        len(
            ec.contrast_events(
                light,
                1000,
                ec.Camera(size=1, threshold=0.1, mismatch=0.0, refractory_us=pause),
                np.random.default_rng(0),
            )
        )
        for pause in (1, 1_000, 5_000)
    ]
    assert counts[0] > counts[1] > counts[2] >= 3


def test_mismatch_spreads_the_times() -> None:
    light = np.exp(np.linspace(0.0, 1.0, 11))[:, None, None] * np.ones((1, 20, 20))

    def spread(mismatch: float) -> float:
        camera = ec.Camera(size=20, threshold=0.3, mismatch=mismatch, refractory_us=100_000)
        return float(np.std(ec.contrast_events(light, 1000, camera, np.random.default_rng(0))["t"]))

    assert spread(0.0) < 1.0
    assert 100.0 < spread(0.05) < 250.0


def test_the_side_that_the_figure_moves_to_brightens() -> None:
    """The path first goes up and left: ON events lie up and left of the OFF events."""
    image = np.zeros((8, 8))
    image[2:6, 2:6] = 1.0
    events = ec.record(image, 0, QUIET)
    first = events[events["t"] < 100_000]
    on, off = first[first["p"] == 1], first[first["p"] == 0]
    assert on["y"].mean() < off["y"].mean() - 1
    assert on["x"].mean() < off["x"].mean()


def test_path_is_a_closed_triangle_of_the_given_size() -> None:
    camera = ec.Camera(amplitude_px=6.0)
    path = ec.saccade_path(camera, np.linspace(0, 300_000, 301))
    assert np.allclose(path[0], path[-1])
    assert np.allclose(np.ptp(path, axis=0), [6.0, 6.0])
    assert np.abs(np.diff(path, axis=0)).max() < 0.2


def test_a_digit_stays_on_the_sensor() -> None:
    for index in range(10):
        events = ec.record_digit(index, 2, QUIET)[0]
        assert events["x"].min() >= 1
        assert events["x"].max() <= 32
        assert events["y"].min() >= 1
        assert events["y"].max() <= 32


def test_raster_counts_every_event_once() -> None:
    events, _ = ec.record_digit(7, 1)
    frames = ec.raster(events, 1000, 300)
    assert frames.shape == (300, 2, 34, 34)
    assert frames.sum() == len(events)
    assert frames[:, 1].sum() == events["p"].sum()
    e = events[10]
    assert frames[e["t"] // 1000, e["p"], e["y"], e["x"]] >= 1
    assert ec.raster(events, 1000, 100).sum() == (events["t"] < 100_000).sum()


def test_held_out_digits_are_no_training_digits() -> None:
    assert not set(ec.TRAINING_DIGITS) & set(ec.HELD_OUT_DIGITS)
    assert ec.HELD_OUT_DIGITS.stop == 1797
    labels = [label for _, label in ec.held_out(4)]
    assert labels == [ec.digit(i)[1] for i in range(1500, 1504)]
    with pytest.raises(ValueError, match="297"):
        next(ec.held_out(298))


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0}, {"refractory_us": 0}, {"noise_hz": -1.0}, {"contrast": 0.5}, {"size": 0},
    ],
)  # fmt: skip
def test_a_camera_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ec.Camera(**wrong)


@pytest.mark.parametrize("image", [np.zeros(8), np.full((8, 8), 2.0), np.full((8, 8), np.nan), -np.ones((8, 8))])
def test_an_image_out_of_range_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"grey values|2-d"):
        ec.record(image)


def test_digit_index_out_of_range_is_refused() -> None:
    with pytest.raises(IndexError, match="1796"):
        ec.digit(1797)


def test_missing_scikit_learn_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    ec._digits.cache_clear()
    with pytest.raises(ImportError, match="pip install scikit-learn"):
        ec.digit(0)
    monkeypatch.undo()
    ec._digits.cache_clear()
    assert ec.digit(0)[1] == 0


def test_shipped_recording_is_what_the_documented_command_makes(tmp_path: Path) -> None:
    readme = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    line = next(line for line in readme.splitlines() if line.strip().startswith("python examples/event_camera.py"))
    arguments = line.split()[2:]
    arguments[arguments.index("--out") + 1] = str(tmp_path / "digit.npy")
    assert ec.main(arguments) == 0
    assert (tmp_path / "digit.npy").read_bytes() == (EXAMPLES / "data" / "digit.npy").read_bytes()


def test_shipped_recording_is_well_formed() -> None:
    events = np.load(EXAMPLES / "data" / "digit.npy", allow_pickle=False)
    _assert_well_formed(events, ec.Camera())
    assert 1000 < len(events) < 6000


def test_batch_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "digits.npz"
    assert ec.main(["--many", "3", "--first", "10", "--seed", "4", "--out", str(out)]) == 0
    assert "3 digits" in capsys.readouterr().out
    with np.load(io.BytesIO(out.read_bytes()), allow_pickle=False) as batch:
        assert batch["indices"].tolist() == [10, 11, 12]
        assert batch["labels"].tolist() == [ec.digit(i)[1] for i in (10, 11, 12)]
        for i in range(3):
            assert batch[f"event_{i}"].tobytes() == ec.record_digit(10 + i, 4)[0].tobytes()
