"""Pieces of a run: they make up the whole, and follow the time they take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal import pace
from hal.pace import CHUNK_S, Pace


def test_the_size_follows_the_time_and_keeps_its_bounds() -> None:
    made = Pace(64, least=8, most=512)
    sizes = []
    for seconds in (0.0, 0.0, CHUNK_S, 1.0, *[1.0] * 9, *[0.0] * 9):
        made.took(seconds)
        sizes.append(made.size)
    assert sizes[:4] == [128, 256, 256, 128]
    assert (min(sizes), max(sizes)) == (8, 512)


@given(first=st.integers(1, 50), total=st.integers(0, 300), grid=st.integers(1, 20))
def test_pieces_make_up_the_whole_on_the_grid(first: int, total: int, grid: int) -> None:
    pieces = list(Pace(first, most=40).pieces(total, grid))
    assert sum(length for _, length in pieces) == total
    assert [start for start, _ in pieces] == [sum(n for _, n in pieces[:k]) for k in range(len(pieces))]
    assert all(length > 0 and start % grid == 0 for start, length in pieces)


def test_what_the_caller_does_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(pace.time, "perf_counter", lambda: now[0])
    lengths = []
    for _, length in Pace(16).pieces(200):
        lengths.append(length)
        now[0] += 1.0 if len(lengths) < 3 else 0.0
    assert lengths[:5] == [16, 8, 4, 8, 16]
