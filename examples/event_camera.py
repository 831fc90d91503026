"""A seeded event camera that looks at a handwritten digit, as N-MNIST was recorded.

A digit (8 x 8 grey values, from scikit-learn) is enlarged smoothly, shown as a bright figure on a dark ground
and moved along three saccades that trace a triangle. Each pixel of a 34 x 34 sensor sends an event whenever
the logarithm of its intensity has moved by more than its threshold since its last event: ON (``p = 1``,
channel 1 of a network's input) when it became brighter, OFF (``p = 0``, channel 0) when it became darker.
Thresholds differ a little from pixel to pixel, a pixel is blind for a refractory time after each event, and
background noise adds events.

Events are a structured array with the fields ``x``, ``y`` (pixels, x to the right, y down), ``t``
(microseconds) and ``p`` (1 ON, 0 OFF), sorted by time. The same arguments give the same bytes: random numbers
come from ``numpy.random.default_rng((seed, digit index))``, and intensities and thresholds are rounded to
1/65536 before any comparison, so that the last bit of a logarithm does not matter.

One recording, and a batch::

    python examples/event_camera.py --digit-index 1501 --seed 7 --out examples/data/digit.npy
    python examples/event_camera.py --many 20 --first 1500 --seed 7 --out digits.npz

The recordings that the README counts are ``held_out()``. Only that and the functions on scikit-learn's digits
need scikit-learn.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray: TypeAlias = npt.NDArray[np.float64]
EventArray: TypeAlias = npt.NDArray[np.void]

EVENT_DTYPE: np.dtype[np.void] = np.dtype([("x", "<i2"), ("y", "<i2"), ("t", "<i8"), ("p", "u1")])
"""One event: pixel column and row, time in microseconds, polarity (1 ON, 0 OFF). 13 bytes, no padding."""

TRAINING_DIGITS = range(1500)
"""Indices of scikit-learn's digits that a network may be trained and tuned on."""
HELD_OUT_DIGITS = range(1500, 1797)
"""Indices that are only ever counted."""
HELD_OUT_SEED = 2026
"""Generator seed of the held-out recordings; no training or tuning recording uses it."""

_GRID = 65536.0  # intensities and thresholds are multiples of 1/_GRID
_FRAME_US = 1000  # the light is taken as linear in time between samples this far apart


@dataclass(frozen=True)
class Camera:
    """The scene and the sensor. The defaults are those of every recording and every figure in this repository.

    Attributes:
        size: pixels along one side of the sensor.
        digit_px: side of the 8 x 8 digit on the sensor, pixels.
        ink: grey value, 0..1, at which a stroke's edge lies; higher is thinner.
        edge: grey values over which the edge goes from dark to bright; higher is softer.
        contrast: ratio of the brightest to the darkest intensity.
        saccade_us: length of one of the three saccades, microseconds.
        amplitude_px: base and height of the triangle that the digit traces, pixels.
        threshold: change of log intensity that makes an event.
        mismatch: standard deviation of a pixel's thresholds, relative.
        refractory_us: time after an event in which a pixel sends none, microseconds.
        noise_hz: rate of background events of one pixel, Hz.
        jitter_px: the digit's resting place differs from the centre by up to this, per recording, pixels.
    """

    size: int = 34
    digit_px: float = 18.0
    ink: float = 0.5
    edge: float = 0.5
    contrast: float = 4.0
    saccade_us: int = 100_000
    amplitude_px: float = 7.0
    threshold: float = 0.2
    mismatch: float = 0.05
    refractory_us: int = 4_000
    noise_hz: float = 0.5
    jitter_px: float = 1.0

    def __post_init__(self) -> None:
        for name in ("size", "digit_px", "edge", "saccade_us", "threshold", "refractory_us"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("amplitude_px", "mismatch", "noise_hz", "jitter_px"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.contrast < 1:
            raise ValueError(f"contrast is brightest over darkest and must be at least 1, got {self.contrast}")

    @property
    def duration_us(self) -> int:
        """Length of a recording, microseconds: every event has 0 <= t < duration_us."""
        return 3 * self.saccade_us


def saccade_path(camera: Camera, times_us: FloatArray) -> FloatArray:
    """Where the digit is, relative to the middle of its path.

    A triangle, as for N-MNIST: up and left, down and left, back to the right; each side in one saccade that
    starts and ends at rest.

    Args:
        camera: gives the amplitude and the length of a saccade.
        times_us: (T,) times, microseconds.

    Returns:
        (T, 2) displacement (x, y), pixels.
    """
    corners = camera.amplitude_px * np.array([[0.5, 0.5], [0.0, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    phase = np.clip(times_us / camera.saccade_us, 0.0, 3.0)
    leg = np.minimum(phase.astype(np.int64), 2)
    way = phase - leg
    smooth = (way * way * (3.0 - 2.0 * way))[:, None]
    path: FloatArray = corners[leg] * (1.0 - smooth) + corners[leg + 1] * smooth
    return path


def intensity(image: npt.ArrayLike, camera: Camera, places: FloatArray) -> FloatArray:
    """What the pixels see of an image at a number of places, by cubic interpolation.

    Args:
        image: (H, W) grey values in 0..1.
        camera: gives sensor size, digit size, stroke, edge and contrast.
        places: (T, 2) position (x, y) of the image's centre relative to the sensor's, pixels.

    Returns:
        (T, size, size) intensities in 1..contrast; nothing but 1 around the image.
    """
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim != 2:
        raise ValueError(f"an image is a 2-d array, got shape {pixels.shape}")
    if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 1:
        raise ValueError("grey values must be finite and within 0..1")
    height, width = pixels.shape
    border = 3
    coefficients = ndimage.spline_filter(np.pad(pixels, border), order=3)
    axis = np.arange(camera.size) - (camera.size - 1) / 2
    per_pixel = max(height, width) / camera.digit_px
    x = (axis[None, :] - places[:, :1]) * per_pixel + (width - 1) / 2 + border
    y = (axis[None, :] - places[:, 1:]) * per_pixel + (height - 1) / 2 + border
    shape = (len(places), camera.size, camera.size)
    at = [np.broadcast_to(y[:, :, None], shape), np.broadcast_to(x[:, None, :], shape)]
    grey = ndimage.map_coordinates(coefficients, at, order=3, mode="constant", prefilter=False)
    up = np.clip((grey - camera.ink) / camera.edge + 0.5, 0.0, 1.0)
    seen: FloatArray = 1.0 + (camera.contrast - 1.0) * up * up * (3.0 - 2.0 * up)
    return seen


def contrast_events(light: FloatArray, step_us: int, camera: Camera, rng: np.random.Generator) -> EventArray:
    """Events of a sensor that sees ``light``: contrast threshold, mismatch and refractory time, no noise.

    A pixel compares the logarithm of its intensity (linear in time between two samples) with the level of its
    last event. During the refractory time it is held in reset, so it starts again from the light at the end
    of it.

    Args:
        light: (T, H, W) intensities > 0 at the times 0, step_us, 2 step_us, ...
        step_us: time between two samples, microseconds.
        camera: gives threshold, mismatch and refractory time.
        rng: for the mismatch; two normal numbers for each pixel.

    Returns:
        Events sorted by t, then y, x, p.
    """
    log_light = (np.round(np.log(light) * _GRID) / _GRID).reshape(len(light), -1)
    pixels = log_light.shape[1]
    factor = 1.0 + camera.mismatch * rng.standard_normal((2, pixels))
    off, on = np.round(camera.threshold * np.maximum(factor, 0.1) * _GRID) / _GRID
    level = log_light[0].copy()
    blind_until = np.zeros(pixels)
    out: list[tuple[npt.NDArray[np.int64], FloatArray, npt.NDArray[np.bool_]]] = []
    for frame in range(1, len(log_light)):
        begin = (frame - 1) * step_us
        before, after = log_light[frame - 1], log_light[frame]
        slope = (after - before) / step_us
        moving = np.arange(pixels)
        while len(moving):
            here, rise, wake = level[moving], slope[moving], blind_until[moving]
            awake = wake < begin + step_us
            held = awake & (wake >= begin)
            here[held] = before[moving[held]] + (wake[held] - begin) * rise[held]
            level[moving] = here
            change = after[moving] - here
            fires = awake & ((change >= on[moving]) | (change <= -off[moving]))
            moving, here, rise, wake = moving[fires], here[fires], rise[fires], wake[fires]
            up = change[fires] > 0
            reached = here + np.where(up, on[moving], -off[moving])
            with np.errstate(divide="ignore", invalid="ignore"):
                when = begin + np.where(rise != 0, (reached - before[moving]) / rise, 0.0)
            when = np.clip(when, np.maximum(wake, begin), begin + step_us - 1)
            when = np.floor(when)
            out.append((moving, when, up))
            level[moving] = reached
            blind_until[moving] = when + camera.refractory_us
            if camera.refractory_us >= step_us:
                break
    if not out:
        return np.zeros(0, dtype=EVENT_DTYPE)
    where = np.concatenate([part[0] for part in out])
    t = np.concatenate([part[1] for part in out]).astype(np.int64)
    p = np.concatenate([part[2] for part in out])
    return _events(where, t, p, light.shape[2])


def noise_events(camera: Camera, rng: np.random.Generator) -> EventArray:
    """Background events: every pixel a Poisson process of ``noise_hz``, ON and OFF equally likely, sorted."""
    pixels = camera.size**2
    count = int(rng.poisson(camera.noise_hz * pixels * camera.duration_us * 1e-6))
    where = rng.integers(0, pixels, count)
    t = rng.integers(0, camera.duration_us, count)
    return _events(where, t, rng.integers(0, 2, count).astype(np.bool_), camera.size)


def _events(where: npt.NDArray[np.int64], t: npt.NDArray[np.int64], p: npt.NDArray[np.bool_], width: int) -> EventArray:
    order = np.lexsort((p, where, t))
    events = np.zeros(len(order), dtype=EVENT_DTYPE)
    events["y"], events["x"] = np.divmod(where[order], width)
    events["t"] = t[order]
    events["p"] = p[order]
    return events


def _keep_refractory(events: EventArray, width: int, refractory_us: int) -> EventArray:
    """Drop each event that follows the last kept event of its pixel by less than the refractory time."""
    last: dict[int, int] = {}
    keep = np.ones(len(events), dtype=np.bool_)
    pixel = events["y"].astype(np.int64) * width + events["x"]
    for i, (where, t) in enumerate(zip(pixel.tolist(), events["t"].tolist(), strict=True)):
        if t - last.get(where, -refractory_us) < refractory_us:
            keep[i] = False
        else:
            last[where] = t
    return events[keep]


def record(image: npt.ArrayLike, seed: int | Sequence[int] = 0, camera: Camera | None = None) -> EventArray:
    """Record an image with the three saccades.

    Args:
        image: (H, W) grey values in 0..1, 1 is ink.
        seed: of ``numpy.random.default_rng``; decides resting place, mismatch and noise.
        camera: scene and sensor; None is ``Camera()``.

    Returns:
        Events (``EVENT_DTYPE``), sorted by t, then y, x, p, with 0 <= t < ``camera.duration_us`` microseconds.
    """
    camera = camera or Camera()
    rng = np.random.default_rng(seed)
    rest = camera.jitter_px * rng.uniform(-1.0, 1.0, 2)
    times = np.arange(0, camera.duration_us + _FRAME_US, _FRAME_US, dtype=np.float64)
    light = intensity(image, camera, saccade_path(camera, times) + rest)
    seen = contrast_events(light, _FRAME_US, camera, rng)
    both = np.concatenate([seen, noise_events(camera, rng)])
    both = both[both["t"] < camera.duration_us]
    both = both[np.lexsort((both["p"], both["x"], both["y"], both["t"]))]
    return _keep_refractory(both, camera.size, camera.refractory_us)


@cache
def _digits() -> tuple[FloatArray, npt.NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("the digits themselves come from scikit-learn: pip install scikit-learn") from error
    data = load_digits()
    return np.asarray(data.images, dtype=np.float64) / 16.0, np.asarray(data.target, dtype=np.int64)


def digit(index: int) -> tuple[FloatArray, int]:
    """Digit ``index`` (0..1796) of scikit-learn: (8, 8) grey values in 0..1, and its label 0..9."""
    images, labels = _digits()
    if not 0 <= index < len(images):
        raise IndexError(f"digit index {index} is outside 0..{len(images) - 1}")
    return images[index].copy(), int(labels[index])


def record_digit(index: int, seed: int = 0, camera: Camera | None = None) -> tuple[EventArray, int]:
    """Record one of scikit-learn's digits: ``record(image, (seed, index))`` and the label.

    A recording depends on its own index and seed only, not on what was recorded before it.
    """
    image, label = digit(index)
    return record(image, (seed, index), camera), label


def held_out(n: int = 200, seed: int = HELD_OUT_SEED, camera: Camera | None = None) -> Iterator[tuple[EventArray, int]]:
    """The recordings that accuracy is counted on: digits 1500 .. 1500 + n - 1, which no training saw.

    Args:
        n: how many, at most 297.
        seed: generator seed.
        camera: scene and sensor; None is ``Camera()``.

    Yields:
        Events and label, in the order of the indices.
    """
    if not 0 <= n <= len(HELD_OUT_DIGITS):
        raise ValueError(f"there are {len(HELD_OUT_DIGITS)} held-out digits, {n} were asked for")
    for index in HELD_OUT_DIGITS[:n]:
        yield record_digit(index, seed, camera)


def raster(events: EventArray, step_us: int, steps: int, size: int = 34) -> npt.NDArray[np.float32]:
    """Count events in time bins: (steps, 2, size, size) float32, channel 0 OFF and 1 ON; later events are left out."""
    frames = np.zeros((steps, 2, size, size), dtype=np.float32)
    when = events["t"] // step_us
    kept = when < steps
    chosen = events[kept]
    np.add.at(frames, (when[kept], chosen["p"].astype(np.intp), chosen["y"], chosen["x"]), 1.0)
    return frames


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: one recording to .npy, or a batch to .npz (event_0 ..., labels, indices)."""
    parser = argparse.ArgumentParser(description="Record scikit-learn's digits with a seeded event camera.")
    parser.add_argument("--digit-index", type=int, default=1501, help="which digit, 0..1796 (default 1501)")
    parser.add_argument("--seed", type=int, default=0, help="generator seed (default 0)")
    parser.add_argument("--many", type=int, metavar="N", help="record N digits from --first on, into one .npz")
    parser.add_argument("--first", type=int, default=HELD_OUT_DIGITS.start, help="first digit of --many (default 1500)")
    parser.add_argument("--out", type=Path, required=True, help="file to write: .npy, or .npz with --many")
    options = parser.parse_args(arguments)
    if options.many is None:
        events, label = record_digit(options.digit_index, options.seed)
        with options.out.open("wb") as file:
            np.save(file, events)
        on = int(events["p"].sum())
        print(f"digit {options.digit_index}, label {label}: {len(events)} events ({on} ON) to {options.out}")
        return 0
    indices = range(options.first, options.first + options.many)
    recorded = [record_digit(index, options.seed) for index in indices]
    arrays: dict[str, npt.NDArray[np.void] | npt.NDArray[np.int64]] = {
        f"event_{i}": events for i, (events, _) in enumerate(recorded)
    }
    arrays["labels"] = np.array([label for _, label in recorded], dtype=np.int64)
    arrays["indices"] = np.array(indices, dtype=np.int64)
    with options.out.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    print(f"{len(recorded)} digits, {sum(len(events) for events, _ in recorded)} events to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
