"""Stored weights: values measured on the reference, legal formats, and the promises of the nearest mantissa."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import ConfigError
from hal_loihi.weights import (
    EXPONENTS,
    WEIGHT_BITS,
    WEIGHT_LIMIT,
    SignMode,
    covers,
    effective,
    exponent_for,
    grid,
    mantissa_range,
    nearest,
    quantum,
    stored,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"

formats = st.tuples(st.sampled_from(EXPONENTS), st.sampled_from(WEIGHT_BITS), st.sampled_from(SignMode))


@pytest.mark.parametrize(
    ("mantissa", "exponent", "weight"),
    [
        (101, -3, 768),
        (-101, -3, -832),
        (-101, -8, -64),
        (254, 7, 2_080_768),
        (-256, 7, -2_097_088),
        (100, 0, 6400),
        (0, 7, 0),
    ],
)
def test_measured_weights(mantissa: int, exponent: int, weight: int) -> None:
    assert effective(mantissa, exponent) == weight


def test_stored_vectors_of_the_peer() -> None:
    archive: Any = np.load(GOLDEN / "delays.npz")
    for connection in range(5):
        assert np.array_equal(effective(archive[f"c{connection}_mantissa"], 0), archive[f"c{connection}_w"])


@pytest.mark.parametrize(
    ("mode", "bits", "pairs"),
    [
        (SignMode.MIXED, 8, {101: 100, -101: -100, 103: 104, -103: -104, 1: 0, -1: 0, 255: 254, 254: 254, -256: -256}),
        (SignMode.MIXED, 6, {103: 96, -103: -96, 7: 0, 255: 248}),
        (SignMode.EXCITATORY, 8, {101: 101, 255: 255, 0: 0}),
        (SignMode.EXCITATORY, 5, {101: 96, 255: 248}),
        (SignMode.INHIBITORY, 8, {-101: -101, -256: -256}),
        (SignMode.INHIBITORY, 0, {-255: 0, -256: -256}),
        (SignMode.MIXED, 0, {254: 0, -256: 0}),
    ],
)
def test_rule_18_bits_that_do_not_exist_are_dropped(mode: SignMode, bits: int, pairs: dict[int, int]) -> None:
    assert stored(list(pairs), bits, mode).tolist() == list(pairs.values())


def test_quanta_and_ranges() -> None:
    assert [quantum(bits) for bits in WEIGHT_BITS] == [512, 256, 128, 64, 32, 16, 8, 2]
    assert [quantum(bits, "excitatory") for bits in (0, 8)] == [256, 1]
    assert mantissa_range() == (-256, 254)
    assert mantissa_range(8, "excitatory") == (0, 255)
    assert mantissa_range(1, "mixed") == (-256, 0)
    assert mantissa_range(3, "inhibitory") == (-256, 0)


def test_exponents_broadcast() -> None:
    assert effective([[2, 4], [6, 8]], [0, 1]).tolist() == [[128, 512], [384, 1024]]


@given(formats, st.floats(-4e6, 4e6))
def test_nearest_is_nearest_and_loses_no_bit(made: tuple[int, int, SignMode], wanted: float) -> None:
    exponent, bits, mode = made
    mantissa = nearest(wanted, exponent, bits, mode)
    assert np.array_equal(stored(mantissa, bits, mode), mantissa)
    low, high = mantissa_range(bits, mode)
    legal = effective(np.arange(low, high + 1), exponent, bits, mode)
    # what is floored is left out: it is not meant
    exact = legal[legal % grid(exponent, bits, mode)[0] == 0]
    exact = np.append(exact, legal[np.abs(legal) == WEIGHT_LIMIT])
    best = np.abs(exact - wanted).min()
    assert abs(effective(mantissa, exponent, bits, mode) - wanted) <= best + 1e-6


@given(st.floats(0, 4e6), st.floats(0, 4e6), st.sampled_from(WEIGHT_BITS), st.sampled_from(SignMode))
def test_the_exponent_is_the_finest_that_covers(down: float, up: float, bits: int, mode: SignMode) -> None:
    exponent = exponent_for(-down, up, bits, mode)
    if exponent is None:
        assert not any(covers(-down, up, e, bits, mode) for e in EXPONENTS)
        return
    step, _, _ = grid(exponent, bits, mode)
    for value in (-down, up):
        assert abs(effective(nearest(value, exponent, bits, mode), exponent, bits, mode) - value) <= step * 0.5001
    finer = [e for e in EXPONENTS if e < exponent and covers(-down, up, e, bits, mode)]
    assert all(grid(e, bits, mode)[0] == step for e in finer)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: quantum(7), "weight_bits: no such number of bits (value 7"),
        (lambda: quantum(9, "both"), "sign_mode: no such sign mode (value both"),
        (lambda: quantum(9, "both"), "weight_bits: no such number of bits (value 9"),
        (lambda: effective(2, 8), "weight_exp: outside what the chip has (value 8, limit integers -8..7)"),
        (lambda: effective(2, [0, -9]), "value -9"),
        (lambda: effective(2, 0.5), "weight_exp"),
        (lambda: nearest(64.0, 9), "weight_exp"),
        (lambda: stored(256), "1 mantissas out of range (value 256, limit -256..255 in sign mode mixed)"),
        (lambda: stored([-1, -2], 8, "excitatory"), "2 mantissas out of range (value -1, limit 0..255"),
        (lambda: stored(1, 8, "inhibitory"), "limit -256..0"),
        (lambda: stored(1.5), "mantissa: not integers"),
    ],
)
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        call()
    assert words in str(caught.value)
