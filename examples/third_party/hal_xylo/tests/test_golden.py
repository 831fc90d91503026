"""Every golden file, bit for bit: emulator, device, mapper, quantiser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import hal
import numpy as np
import pytest

from hal_xylo.emulator import Core
from hal_xylo.quantise import Specification, quantise
from hal_xylo.registers import Registers

GOLDEN = Path(__file__).parent / "golden"
NETWORKS = sorted(path.stem for path in GOLDEN.glob("p*.npz"))
PLAIN = [
    "w_in", "w_rec", "w_out", "threshold", "threshold_out", "dash_mem", "dash_mem_out", "dash_syn", "dash_syn_out",
    "alias",
]  # fmt: skip


def test_all_files_are_here() -> None:
    assert len(NETWORKS) == 9


def registers(arrays: dict[str, Any], meta: dict[str, Any]) -> Registers:
    more = {name: meta[name] for name in ("shift_in", "shift_rec", "shift_out")}
    more |= {name: arrays[name] for name in ("bias", "bias_out") if meta["has_bias"]}
    return Registers(**{name: arrays[name] for name in PLAIN}, **more)


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_of_every_step(name: str, version: str, golden: Any) -> None:
    arrays, meta = golden(name)
    if version == "v1" and meta["has_bias"]:
        with pytest.raises(ValueError, match="v1 has no bias"):
            Core(registers(arrays, meta), "v1")
        return
    core = Core(registers(arrays, meta), "v1" if version == "v1" else "v2")
    runs = []
    for start, end, reset in meta["calls"]:
        if reset:
            core.reset()
        core.forget_flag()
        runs.append(core.run(arrays["raster"][start:end], trace=True))
    stored = "v1" if version == "v1" and meta["v1"] == "stored" else "v2"
    rows = arrays["rec_steps"]

    def joined(get: Any) -> Any:
        return np.concatenate([get(run) for run in runs])

    np.testing.assert_array_equal(joined(lambda r: r.spikes), arrays[f"{stored}_spikes"])
    np.testing.assert_array_equal(joined(lambda r: r.spikes_out), arrays[f"{stored}_spikes_out"])
    np.testing.assert_array_equal(joined(lambda r: r.trace.i_syn)[rows][..., 0], arrays[f"{stored}_i_syn"])
    np.testing.assert_array_equal(joined(lambda r: r.trace.v_mem)[rows], arrays[f"{stored}_v_mem"])
    np.testing.assert_array_equal(joined(lambda r: r.trace.i_syn_out)[rows], arrays[f"{stored}_i_syn_out"])
    np.testing.assert_array_equal(joined(lambda r: r.trace.v_mem_out)[rows], arrays[f"{stored}_v_mem_out"])
    if meta["synapses"] == 2:
        np.testing.assert_array_equal(joined(lambda r: r.trace.i_syn)[rows][..., 1], arrays[f"{stored}_i_syn2"])
    flags = joined(lambda r: r.hibernation)
    if version == "v2":
        np.testing.assert_array_equal(flags, arrays["v2_hibernation"])
    else:
        assert not flags.any()
    assert joined(lambda r: r.clipped).sum() == meta["spikes_in_clipped"]


@pytest.mark.parametrize("part", ["xylo-audio2", "xylo-audio3", "xylo-imu"])
@pytest.mark.parametrize("plain", [False, True], ids=["the chip's rule", "what NIR says"])
@pytest.mark.parametrize("name", ["p07_dense_16_100_8", "p09_two_layers_recurrent"])
def test_whole_numbers_from_nir_are_left_unchanged(name: str, plain: bool, part: str, golden: Any) -> None:
    arrays, meta = golden(name)
    chip = {} if plain else {"jump": "before", "spike_reset": "subtract_n", "compare": ">=", "spikes_per_step": "many"}
    model = hal.read_model(GOLDEN / f"{name}.nir", semantics=hal.Semantics(dt_ns=1_000_000, **chip))
    blocks = meta.get("nir_blocks") or [["hidden", 0, meta["n_hidden"]]]
    options = {"approximate": ["reset"]} if plain else {}
    mapping = hal.mapper(part).map(model, options, record=[block[0] for block in blocks])
    np.testing.assert_array_equal(mapping.config.w_in, arrays["w_in"])
    np.testing.assert_array_equal(mapping.config.w_rec, arrays["w_rec"])
    np.testing.assert_array_equal(mapping.config.threshold_out, arrays["threshold_out"])
    assert not len(mapping.losses)
    assert ("jump" in {finding.field for finding in mapping.fit.changed}) == plain
    with hal.open(part) as device:
        device.load(mapping)
        raster = arrays["raster"].astype(int)
        recording = device.run({"input": raster}, len(raster) * 1_000_000)
    np.testing.assert_array_equal(recording.raster("output"), arrays["v2_spikes_out"])
    for block, first, end in blocks:
        np.testing.assert_array_equal(recording.raster(block), arrays["v2_spikes"][:, first:end])
    assert recording.stats["synops"].sum() == meta["synops"]


def cases() -> list[tuple[int, dict[str, Any]]]:
    with np.load(GOLDEN / "quantise.npz", allow_pickle=False) as file:
        return list(enumerate(json.loads(str(file["meta"]))["cases"]))


def specification(arrays: dict[str, Any], c: int) -> Specification:
    names = [field.name for field in attrs.fields(Specification)]
    return Specification(**{n: arrays.get(f"k{c:02d}_{n}") for n in names})


@pytest.mark.parametrize("method", ["global", "channel"])
@pytest.mark.parametrize(("c", "case"), cases())
def test_integers_of_the_vendors_quantisers_where_these_are_sound(
    c: int, case: dict[str, Any], method: Any, golden: Any
) -> None:
    arrays, _ = golden("quantise")
    found = quantise(specification(arrays, c), method)
    differ = {n for n, values in found.items() if not np.array_equal(values, arrays[f"k{c:02d}_{method}_{n}"])}
    if not case["bias"] and not case["threshold_overflow"]:
        assert not differ
    for name, values in found.items():
        low, high = (-128, 127) if name.startswith("weights") else (-32768, 32767)
        assert low <= values.min() <= values.max() <= high


def test_biases_have_the_scale_of_their_own_weights(golden: Any) -> None:
    arrays, meta = golden("quantise")
    biased = [c for c, case in enumerate(meta["cases"]) if case["bias"]]
    assert biased
    for c in biased:
        spec = specification(arrays, c)
        found = quantise(spec, "global")
        for bias, threshold in (("bias", "threshold"), ("bias_out", "threshold_out")):
            scale = found[threshold].max() / getattr(spec, threshold).max()
            np.testing.assert_allclose(found[bias], getattr(spec, bias) * scale, atol=1.0, rtol=2e-3)


def test_a_threshold_of_an_output_that_is_too_large_leaves_recurrent_weights_alone(golden: Any) -> None:
    arrays, meta = golden("quantise")
    for c, case in enumerate(meta["cases"]):
        spec = specification(arrays, c)
        largest = attrs.evolve(spec, threshold_out=spec.threshold_out * 1e6)
        one, two = quantise(spec, "global"), quantise(largest, "global")
        np.testing.assert_array_equal(one["weights_rec"], two["weights_rec"])
        assert two["threshold_out"].max() == 32767, case
