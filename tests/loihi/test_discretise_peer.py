"""The discretiser beside nengo-loihi's: that rule as a reference, equal to its vectors, nowhere better than ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal_loihi.block import Block, Group
from hal_loihi.discretise import discretise
from hal_loihi.weights import SignMode

GOLDEN = Path(__file__).parents[1] / "golden" / "loihi"
VTH_MAX, BIAS_MAX = 8_388_544, 524_160

Float = NDArray[np.float64]


def decay_sum(register: Any, offset: int) -> Any:
    """What a unit impulse adds up to while a register lets it decay, lost fractions included."""
    keep = (4096 - offset - register) / 4096
    lost, start = 0.494, 2**21
    n = -np.log1p(start * (1 - keep) / lost) / np.log(keep)
    whole = (1 - keep ** (n + 1)) / (1 - keep)
    return whole - lost / ((1 - keep) * start) * (n + 1 - whole)


@attrs.frozen(kw_only=True)
class Peer:
    """Integers by the rule of nengo-loihi 1.1.0, and the scales they were made with."""

    decay_u: Any
    decay_v: Any
    current_gain: Float
    membrane_gain: Float
    v_scale: Float
    b_scale: Float
    w_scale: Float
    w_exp: int
    vth_mant: Any
    bias_mant: Any
    bias_exp: Any
    vmin: float
    vmax: float
    exponents: list[int]
    weights: list[Any]


def peer_scale(threshold: Float, bias: Float, w_max: float, cu: Float, cv: Float) -> tuple[Any, Any, Any, int] | None:
    """Scales of membrane, bias and weights, and the exponent of the strongest group."""
    b_max = float(np.abs(bias).max())
    if w_max > 1e-8:
        w_scale = 255.0 / w_max
        for exponent in range(0, -8, -1):
            v_scale = w_scale * 2.0 ** (6 + exponent) / (cu * cv)
            vth, b = np.round(threshold * v_scale), np.round(bias * v_scale * cv)
            if (vth <= VTH_MAX).all() and (np.abs(b) <= BIAS_MAX).all():
                return v_scale, v_scale * cv, np.full(threshold.shape, w_scale), exponent
        return None
    if b_max > 1e-8:
        b_scale = BIAS_MAX / b_max
        while b_scale * b_max > 1:
            v_scale = b_scale / cv
            if (np.round(threshold * v_scale) <= VTH_MAX).all():
                return v_scale, np.full(threshold.shape, b_scale), b_scale * cu / 64, 0
            b_scale /= 2
        return None
    v_scale = np.full(threshold.shape, (2**21 - 1) / (threshold.max() + 1))
    return v_scale, v_scale * cv, v_scale * cv * cu / 64, 0


def peer_group(weights: Float, w_max: float, w_scale: Float, w_exp: int, defect: bool) -> tuple[int, Any]:
    """Exponent and effective weights of one group. defect: the strength is not reduced where the exponent stops."""
    largest = float(np.abs(weights).max(initial=0.0))
    k = max(int(np.floor(np.log2(w_max / largest))), 0) if largest > 1e-16 else 0
    exponent = max(w_exp - k, -6)
    x = weights * w_scale * 2.0 ** (k if defect else w_exp - exponent)
    half = np.clip(np.round(x / 2), -127, 127)
    shift = 1 + exponent
    if shift < 0:
        # the limit holds after the rounding, too, and the shift to the right then floors
        half = np.clip(np.round(half * 2.0**shift) / 2.0**shift, -127, 127)
    return exponent, (np.floor(half * 2.0**shift) * 64).astype(np.int64)


def peer_discretise(
    decay_u: Float, decay_v: Float, threshold: Float, bias: Float, groups: list[Float], case: dict[str, Any]
) -> Peer | None:
    """The whole rule; case: scale_u, scale_v, vmin_float, and `defect` (default: as it is there)."""
    du = np.clip(np.round(decay_u * 4095 - 1), 0, 4095)
    dv = np.round(decay_v * 4095)
    one = np.ones(threshold.shape)
    cu = one / decay_sum(du, 1) if case["scale_u"] else one
    cv = one / decay_sum(dv, 0) if case["scale_v"] else one
    w_max = max((float(np.abs(w).max(initial=0.0)) for w in groups), default=0.0)
    scales = peer_scale(threshold, bias, w_max, cu, cv)
    if scales is None:
        return None
    v_scale, b_scale, w_scale, w_exp = scales
    b = np.round(bias * b_scale)
    bias_exp = np.ceil(np.log2(np.maximum(np.abs(b) / 4095, 1)))
    stored = [peer_group(w, w_max, w_scale, w_exp, case.get("defect", True)) for w in groups]
    vmin = np.clip(np.round(np.log2(1 - case["vmin_float"] * v_scale.max())), 0, 31)
    return Peer(
        decay_u=du.astype(int),
        decay_v=dv.astype(int),
        current_gain=cu,
        membrane_gain=cv,
        v_scale=v_scale,
        b_scale=b_scale,
        w_scale=w_scale,
        w_exp=w_exp,
        vth_mant=np.maximum(np.round(np.round(threshold * v_scale) / 64), 1).astype(int),
        bias_mant=np.round(b / 2**bias_exp).astype(int),
        bias_exp=bias_exp.astype(int),
        vmin=float(1 - 2.0**vmin),
        vmax=2.0**23 - 1,
        exponents=[e for e, _ in stored],
        weights=[w for _, w in stored],
    )


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
