"""The Yin-Yang data set, and its points as the times of spikes.

A point lies in a disc that is parted like the Yin-Yang sign: yang (0), yin (1), or one of the two dots (2). The set is
that of Kriener, Goeltz and Petrovici 2022 (doi 10.1145/3517343.3517380, their code: yin_yang_data_set 0371ec7): points
are drawn evenly from the unit square until there is one of the class that is wanted. The times are those of the
vendor's example (jaxsnn 0.3.0, yin-yang with time to first spike).

    xy, labels = points(3000, seed=0)      # 1000 of each class
    times = spike_times(xy, tau_syn=6e-6)  # (3000, 5), s
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

CLASSES = ("yang", "yin", "dot")
"""By label."""
R_BIG, R_SMALL = 0.5, 0.1
"""Radius of the disc, whose middle is (0.5, 0.5), and of a dot."""
RIGHT, LEFT = (0.75, 0.5), (0.25, 0.5)
"""The middles of the dots, and of the half as large discs round them that make the curved border."""
LATE = 2.0
"""In units of tau_syn: when an input of 1 spikes; one of 0 and the bias spike at 0."""
_DRAWN_AT_ONCE = 8192


def _distance(xy: Floats, middle: tuple[float, float]) -> Floats:
    """(n,) from a point to `middle`."""
    away: Floats = np.hypot(xy[:, 0] - middle[0], xy[:, 1] - middle[1])
    return away


def _pairs(xy: ArrayLike) -> tuple[Floats, list[str]]:
    """An array of points, and what is wrong of it."""
    given = np.asarray(xy)
    if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "fiu":
        return np.empty((0, 2)), [f"xy needs numbers, (n, 2), got {given.dtype} {given.shape}"]
    made = given.astype(np.float64)
    wrong = np.argwhere(~((made >= 0) & (made <= 1)))
    if len(wrong):
        k, axis = wrong[0].tolist()
        return made, [f"xy[{k}, {axis}] is {made[k, axis]}, must lie in 0..1 ({len(wrong)} such in all)"]
    return made, []


def in_disc(xy: ArrayLike) -> NDArray[np.bool_]:
    """Whether points (n, 2) of the unit square belong to the sign, (n,). ValueError for others."""
    made, problems = _pairs(xy)
    if problems:
        raise ValueError(problems[0])
    return _distance(made, (0.5, 0.5)) <= R_BIG


def classes(xy: ArrayLike) -> Labels:
    """The label of points (n, 2), (n,). ValueError for points outside the unit square.

    With d_R and d_L from the middles on the right and left: a dot is what is nearer than 0.1 to one of them. Of the
    rest yin is what has 0.1 < d_L <= 0.25, or lies above the middle, y > 0.5, with d_R > 0.25, or has d_R of 0.1
    exactly; yang is what is left. What the disc does not have gets a label, too: see `in_disc`.
    """
    made, problems = _pairs(xy)
    if problems:
        raise ValueError(problems[0])
    right, left = _distance(made, RIGHT), _distance(made, LEFT)
    dot = (right < R_SMALL) | (left < R_SMALL)
    half = R_BIG / 2
    yin = (right <= R_SMALL) | ((left > R_SMALL) & (left <= half)) | ((made[:, 1] > R_BIG) & (right > half))
    return np.where(dot, 2, yin).astype(np.int64)


def points(n: int, seed: int) -> tuple[Floats, Labels]:
    """Of the disc, (n, 2) in 0..1, and their labels, (n,): 0, 1, 2, 0, 1, 2 and so on.

    So there are equally many of each class; where n is no multiple of 3, one more of 0, or of 0 and of 1. Of any points
    that follow each other the classes differ by one at most. The same seed gives the same points, and fewer of them are
    the first of more. ValueError if n or seed is below 0.
    """
    problems = [f"{name} is {value}, must be 0 or more" for name, value in (("n", n), ("seed", seed)) if value < 0]
    if problems:
        raise ValueError("; ".join(problems))
    random = np.random.default_rng(seed)
    wanted = [(n + 2 - label) // 3 for label in range(3)]
    found: list[list[Floats]] = [[] for _ in wanted]
    while any(sum(map(len, mine)) < many for mine, many in zip(found, wanted, strict=True)):
        drawn = random.random((_DRAWN_AT_ONCE, 2))
        drawn = drawn[in_disc(drawn)]
        labels = classes(drawn)
        for label, mine in enumerate(found):
            mine.append(drawn[labels == label])
    xy = np.empty((n, 2))
    for label, (mine, many) in enumerate(zip(found, wanted, strict=True)):
        if many:
            xy[label::3] = np.concatenate(mine)[:many]
    return xy, np.arange(n, dtype=np.int64) % 3


def spike_times(xy: ArrayLike, tau_syn: float) -> Floats:
    """When the five inputs x, y, 1 - x, 1 - y and bias spike, (n, 5), s, of points (n, 2) in 0..1.

    A value v spikes at t_early + v (t_late - t_early), with t_early 0 and t_late 2 tau_syn; the bias at 0. tau_syn: s.
    ValueError with all that is wrong.
    """
    made, problems = _pairs(xy)
    if not 0 < tau_syn < np.inf:
        problems.append(f"tau_syn is {tau_syn} s, must be finite and greater than 0")
    if problems:
        raise ValueError("; ".join(problems))
    return np.hstack([made, 1.0 - made, np.zeros((len(made), 1))]) * (LATE * tau_syn)
