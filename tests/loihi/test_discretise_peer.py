"""The discretiser beside nengo-loihi's: that rule as a reference, equal to its vectors, nowhere better than ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loihi_peer import decay_sum, peer_discretise
from numpy.typing import NDArray

from hal_loihi.block import Block, Group
from hal_loihi.discretise import discretise
from hal_loihi.weights import SignMode

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
Float = NDArray[np.float64]


def golden_cases() -> list[tuple[dict[str, Any], list[Float], dict[str, Any]]]:
    """(case, decay_u, decay_v, threshold, bias and the groups; the stored integers)."""
    archive: Any = np.load(GOLDEN / "discretize.npz")
    cases = []
    for c, case in enumerate(json.loads(str(archive["meta"]))["cases"]):
        names = ["decay_u", "decay_v", "vth", "bias", *(f"s{j}" for j in range(case["n_syn"]))]
        floats = [archive[f"k{c}_{name}_float"].astype(np.float64) for name in names]
        prefix = f"k{c}_"
        ints = {key.removeprefix(prefix): archive[key] for key in archive.files if key.startswith(prefix)}
        cases.append((case, floats, ints))
    return cases


def test_decay_sums() -> None:
    archive: Any = np.load(GOLDEN / "discretize.npz")
    table = json.loads(str(archive["meta"]))["decay_magnitude"]
    assert len(table) == 14
    for register, offset, total in table:
        assert decay_sum(register, offset) == pytest.approx(total, rel=1e-12)


def test_the_reference_equals_its_vectors() -> None:
    cases = golden_cases()
    assert len(cases) == 24
    for case, (du, dv, threshold, bias, *groups), ints in cases:
        made = peer_discretise(du, dv, threshold, bias, groups, case)
        assert (made is None) == (case["error"] is not None)
        if made is None:
            continue
        assert np.array_equal(made.decay_u, ints["decay_u_int"])
        assert np.array_equal(made.decay_v, ints["decay_v_int"])
        assert np.array_equal(made.vth_mant, ints["vth_mant"])
        assert np.array_equal(made.bias_mant, ints["bias_mant"])
        assert np.array_equal(made.bias_exp, ints["bias_exp"])
        assert made.exponents == case["syn_weight_exp"]
        assert (made.w_exp, made.vmin, made.vmax) == (case["w_exp"], case["vmin"], case["vmax"])
        for j, weights in enumerate(made.weights):
            assert np.array_equal(weights, ints[f"s{j}_int"])
        for scale in ("v_scale", "w_scale", "b_scale"):
            assert getattr(made, scale).max() == pytest.approx(case[scale], rel=1e-6)


def ratio_errors(
    scale: float,
    threshold: Any,
    bias: Any,
    vmin: float,
    weights: list[Any],
    wanted: tuple[Float, Float, float, list[Float]],
) -> list[float]:
    """Relative errors, bias and bound in units of the block's threshold: threshold, bias, vmin and each group."""
    vth, b, low, groups = wanted

    def rms(x: Any) -> float:
        return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))

    top = float(vth.max())
    errors = [rms(threshold / scale - vth) / top, rms(bias / scale - b) / top, abs(vmin / scale - low) / top]
    errors += [rms(s / scale - w) / (rms(w) or 1.0) for s, w in zip(weights, groups, strict=True)]
    return errors


def both(
    floats: list[Float], case: dict[str, Any], sign_mode: SignMode | None = None
) -> tuple[list[float], list[list[float]]]:
    """Errors of ours and of the peer for one block; none where the peer refuses.

    The peer's scale is the one its stored thresholds have in truth (least squares): spikes depend on ratios to them
    alone. Where it could not store the thresholds at all, the scale it meant is as good a view, and comes second.
    """
    du, dv, threshold, bias, *groups = floats
    registers = np.clip(np.round(du * 4095 - 1), 0, 4095), np.round(dv * 4095)
    cu = 1 / decay_sum(registers[0], 1) if case["scale_u"] else np.ones(len(du))
    cv = 1 / decay_sum(registers[1], 0) if case["scale_v"] else np.ones(len(du))
    ours = discretise(
        Block(
            name="block",
            threshold=threshold,
            alpha=1 - du,
            beta=1 - dv,
            gain=cu * cv,
            bias=bias * cv,
            v_min=case["vmin_float"],
            groups=tuple(Group(name=str(j), weights=w, sign_mode=sign_mode) for j, w in enumerate(groups)),
        )
    )
    wanted = threshold, bias * cv, case["vmin_float"], [w * (cu * cv) for w in groups]
    mine = [group.effective for group in ours.groups]
    errors = ratio_errors(ours.scale, ours.vth, ours.bias, 1 - 2.0**ours.vmin_exp, mine, wanted)
    peer = peer_discretise(du, dv, threshold, bias, groups, case)
    if peer is None:
        return errors, []
    stored_bias = peer.bias_mant * 2.0**peer.bias_exp
    # the peer's exponent goes to 31, but its membrane ends at 23 bits and sign
    vmin = max(peer.vmin, 1 - 2.0**23)
    scales = [float(peer.vth_mant * 64 @ threshold) / float(threshold @ threshold)]
    if threshold.max() * peer.v_scale.max() < 32:
        scales.append(float(peer.v_scale.max()))
    return errors, [
        ratio_errors(scale, peer.vth_mant * 64, stored_bias, vmin, peer.weights, wanted) for scale in scales
    ]


def nowhere_larger(mine: list[float], theirs: list[list[float]]) -> bool:
    return any(all(a <= b * (1 + 1e-9) + 1e-12 for a, b in zip(mine, view, strict=True)) for view in theirs)


@pytest.mark.parametrize("sign_mode", [None, SignMode.MIXED])
@pytest.mark.parametrize("defect", [False, True])
def test_nowhere_worse_than_the_peer_on_its_blocks(defect: bool, sign_mode: SignMode | None) -> None:
    compared = 0
    for case, floats, _ in golden_cases():
        mine, theirs = both(floats, {**case, "defect": defect}, sign_mode)
        if theirs:
            assert nowhere_larger(mine, theirs)
            compared += 1
    assert compared == 23


def test_the_defect_is_not_ours() -> None:
    """In the stored blocks that show it the peer's weak groups are twice as strong as asked, ours are not."""
    case, floats, ints = next(c for c in golden_cases() if c[0].get("w_exp") == -7)
    mine, _ = both(floats, case)
    nominal = floats[4] * case["w_scale"] * 64 * 2.0 ** case["w_exp"]
    assert float((ints["s0_int"] * nominal).sum() / (nominal**2).sum()) > 1.8
    assert mine[3] < 0.5


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 24),
    strengths=st.lists(st.floats(-5, 3), max_size=3),
    bias=st.none() | st.floats(-4, 2),
    log_threshold=st.floats(-2, 2),
    spread=st.sampled_from([0.0, 0.3]),
    registers=st.tuples(st.integers(20, 4094), st.integers(1, 4000)),
    vmin=st.sampled_from([0.0, -0.5, -3.0]),
    defect=st.booleans(),
)
def test_nowhere_worse_than_the_peer_on_random_blocks(
    seed: int,
    n: int,
    strengths: list[float],
    bias: float | None,
    log_threshold: float,
    spread: float,
    registers: tuple[int, int],
    vmin: float,
    defect: bool,
) -> None:
    rng = np.random.default_rng(seed)
    threshold = 10.0**log_threshold * (1 + spread * rng.random(n))
    biases = np.zeros(n) if bias is None else 10.0**bias * rng.normal(size=n)
    groups = [10.0**power * rng.normal(size=(int(rng.integers(1, 12)), n)) for power in strengths]
    decays = [np.full(n, register / 4095) for register in registers]
    case = {"scale_u": True, "scale_v": True, "vmin_float": vmin, "defect": defect}
    mine, theirs = both([*decays, threshold, biases, *groups], case)
    if theirs:
        assert nowhere_larger(mine, theirs)
    else:
        assert np.isfinite(mine).all()
