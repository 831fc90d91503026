"""Every golden file this stage can replay is equal, and the replay tells when one is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

LOIHI = (
    "bias_refractory", "conv_pop", "decay_impulse", "delays", "mnist_int", "multiblock_chain", "overflow_wrap",
    "recurrent_256", "recurrent_2blocks", "silicon_lif", "voltage_limits",
    "accounting", "accounting_random", "activation_profile", "discretize",
)  # fmt: skip
DYNAPSE2 = ("bias_generator", "quant_n8_normal", "quant_n32_normal", "quant_n40_2core")
BRAINSCALES2 = (
    "ff_4_10_3", "graze_tau1", "graze_tau2", "lif1_tau1", "lif1_tau2", "rec_4_6", "ties_identical", "ties_inputs_8ns",
    "truncation", "yinyang_5_120_3",
)  # fmt: skip
BRAINSCALES2_RULES = ("refractory", "weights")
JAXSNN = ("discrete_lif", "discrete_readout")
FILES = [
    *sorted((*HERE.glob("nir/*.npz"), *HERE.glob("nir/bad/*.nir"), *HERE.glob("dynapcnn/*.npz"))),
    *(HERE / "loihi" / f"{name}.npz" for name in LOIHI),
    *sorted(HERE.glob("dynapse2/alloc_*.npz")),
    *(HERE / "dynapse2" / f"{name}.npz" for name in DYNAPSE2),
    *sorted(HERE.glob("dynapse2/dyn_*.npz")),
    *(HERE / "brainscales2" / f"{name}.npz" for name in BRAINSCALES2),
    *(HERE / "brainscales2" / f"{name}.npz" for name in BRAINSCALES2_RULES),
    *(HERE / "brainscales2" / f"{name}.npz" for name in JAXSNN),
    *(HERE / "events" / f"dvs{end}" for end in (".csv", ".dat", ".es", "_evt2.raw", "_evt3.raw", "_tonic_dtype.npy")),
]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / "replay.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_all_files_are_equal() -> None:
    done = run(*FILES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(FILES)} of {len(FILES)} files equal" in done.stdout
    assert len(FILES) >= 16 + 13 + 13 + 15 + 4 + 4 + 7 + 10 + 2 + 2 + 6


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    for suffix in (".npz", ".nir"):
        shutil.copy(HERE / "dynapcnn" / f"p03_conv3x3_subtract{suffix}", tmp_path / f"any_name{suffix}")
    return tmp_path / "any_name.npz"


def rewrite(path: Path, **changes: np.ndarray) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez_compressed(path, **(arrays | changes))  # type: ignore[arg-type]


def test_the_name_of_a_file_does_not_matter(chain: Path) -> None:
    done = run(chain)
    assert done.returncode == 0, done.stdout
    assert "device, layer 0: spikes in order" in done.stdout


def test_a_changed_state_is_a_difference(chain: Path) -> None:
    with np.load(chain) as file:
        state = file["layer0_v_final"].copy()
    state[0, 0, 0] += 1
    rewrite(chain, layer0_v_final=state)
    done = run(chain)
    assert done.returncode == 1
    assert "device, layer 0: final state: 256 values, 1 differ" in done.stdout


def test_changed_weights_are_a_difference(chain: Path) -> None:
    with np.load(chain) as file:
        weights = file["layer0_weights"].copy()
    weights[0, 0] = -weights[0, 0]
    rewrite(chain, layer0_weights=weights)
    done = run(chain)
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


def test_semantics_given_on_the_command_line_are_used(tmp_path: Path) -> None:
    for suffix in (".npz", ".nir", ".json"):
        shutil.copy(HERE / "nir" / f"snntorch_leaky_zero{suffix}", tmp_path / f"case{suffix}")
    zero = {"profile": "snntorch", "dt_ns": 100000, "spike_reset": "value", "reset_delay": 0}
    (tmp_path / "good.json").write_text(json.dumps(zero))
    (tmp_path / "other.json").write_text(json.dumps({"profile": "snntorch", "dt_ns": 100000}))
    assert run(tmp_path / "case.npz", "--semantics", tmp_path / "good.json").returncode == 0
    assert run(tmp_path / "case.npz", "--semantics", tmp_path / "other.json").returncode == 1
    without = run(tmp_path / "case.npz")
    assert without.returncode == 1
    assert "no semantics" in without.stdout


def test_what_cannot_be_read_fails(tmp_path: Path) -> None:
    (tmp_path / "odd.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    for path in (tmp_path / "odd.npz", tmp_path / "other.npz", tmp_path / "missing.npz"):
        done = run(path)
        assert done.returncode == 1, path
        assert "CANNOT REPLAY" in done.stdout


def test_one_changed_voltage_of_a_loihi_file_is_a_difference(tmp_path: Path) -> None:
    shutil.copy(HERE / "loihi" / "delays.npz", tmp_path / "any_name.npz")
    with np.load(tmp_path / "any_name.npz") as file:
        v = file["v"].copy()
    v[3, 5] += 1
    rewrite(tmp_path / "any_name.npz", v=v)
    done = run(tmp_path / "any_name.npz")
    assert done.returncode == 1
    assert "emulator: v: 7680 values, 1 differ" in done.stdout


def test_a_loihi_connection_from_elsewhere_is_not_guessed(tmp_path: Path) -> None:
    shutil.copy(HERE / "loihi" / "delays.npz", tmp_path / "any_name.npz")
    with np.load(tmp_path / "any_name.npz") as file:
        meta = json.loads(str(file["meta"]))
    meta["connections"][0]["src_kind"] = "chip"
    rewrite(tmp_path / "any_name.npz", meta=np.array(json.dumps(meta)))
    done = run(tmp_path / "any_name.npz")
    assert done.returncode == 1
    assert "connection 0 comes from 'chip'" in done.stdout


@pytest.mark.parametrize(("name", "how"), [("delays", "from registers"), ("recurrent_256", "from NIR")])
def test_a_changed_voltage_of_loihi_is_a_difference_on_the_device(name: str, how: str, tmp_path: Path) -> None:
    for file in (HERE / "loihi").glob(f"{name}.n*"):
        shutil.copy(file, tmp_path)
    with np.load(tmp_path / f"{name}.npz") as arrays:
        v = arrays["v_final"].copy()
    v[3] += 1
    rewrite(tmp_path / f"{name}.npz", v_final=v)
    done = run(tmp_path / f"{name}.npz")
    assert done.returncode == 1
    assert f"device, {how}: final v: {v.size} values, 1 differ" in done.stdout


def test_a_bound_that_is_out_of_reach_and_another_entry_are_differences_of_dynapse2(tmp_path: Path) -> None:
    for name in ("quant_n8_normal", "bias_generator"):
        shutil.copy(HERE / "dynapse2" / f"{name}.npz", tmp_path)
    with np.load(tmp_path / "quant_n8_normal.npz") as file:
        meta = json.loads(str(file["meta"]))
    meta["per_core"][0]["bound_rel_rmse"] *= 0.95
    rewrite(tmp_path / "quant_n8_normal.npz", meta=np.array(json.dumps(meta)))
    with np.load(tmp_path / "bias_generator.npz") as file:
        entries = file["coarse_fine"].copy()
    entries[17, 40, 1] += 1
    rewrite(tmp_path / "bias_generator.npz", coarse_fine=entries)
    done = run(tmp_path / "quant_n8_normal.npz", tmp_path / "bias_generator.npz")
    assert done.returncode == 1
    assert "at most 1.02 x 0.0524: 1 values, 1 differ" in done.stdout
    assert "SOIF_LEAK_N: (coarse, fine): 288 values, 1 differ" in done.stdout


def test_one_more_spike_of_dynapse2_is_a_difference(tmp_path: Path) -> None:
    shutil.copy(HERE / "dynapse2" / "dyn_single.npz", tmp_path / "any_name.npz")
    with np.load(tmp_path / "any_name.npz") as file:
        spikes, imem = file["spikes"].copy(), file["imem"].copy()
    spikes[np.flatnonzero(spikes)[0], 0] += 1
    imem[50] += 1.1e-10
    rewrite(tmp_path / "any_name.npz", spikes=spikes, imem=imem)
    done = run(tmp_path / "any_name.npz")
    assert done.returncode == 1
    assert "emulator: spike counts: 200 values, 1 differ" in done.stdout
    assert "emulator: imem: 200 values, 1 differ" in done.stdout


@pytest.mark.parametrize("name", ["ff_4_10_3", "yinyang_5_120_3"])
def test_a_spike_of_brainscales2_that_is_late_or_missing_is_a_difference(tmp_path: Path, name: str) -> None:
    path = tmp_path / "any_name.npz"
    key = "ref0_time" if name.startswith("ff") else "ref_q_output_time"
    with np.load(HERE / "brainscales2" / f"{name}.npz") as file:
        golden = file[key].copy()
    first = np.argmax(np.isfinite(golden[0]))
    for change, said in ((1.1e-12, "values, 1 differ"), (np.inf, "sample and neuron of every spike")):
        times = golden.copy()
        times[0, first] += change
        shutil.copy(HERE / "brainscales2" / f"{name}.npz", path)
        rewrite(path, **{key: times})
        done = run(path)
        assert done.returncode == 1
        assert said in done.stdout


@pytest.mark.parametrize("key", ["z", "V", "I", "V_out", "I_out"])
def test_a_value_of_a_network_in_steps_that_is_off_is_a_difference(tmp_path: Path, key: str) -> None:
    path = tmp_path / "any_name.npz"
    shutil.copy(HERE / "brainscales2" / "discrete_readout.npz", path)
    with np.load(path) as file:
        values = file[key].copy()
    values[70, 1] = 1 - values[70, 1] if key == "z" else values[70, 1] + 3e-12
    rewrite(path, **{key: values})
    done = run(path)
    assert done.returncode == 1
    assert done.stdout.count("differ") == 1
    assert "values, 1 differ" in done.stdout


def test_a_network_in_steps_runs_as_the_semantics_on_the_command_line_say(tmp_path: Path) -> None:
    (tmp_path / "single.json").write_text(json.dumps({"profile": "jaxsnn", "dtype": "float32"}))
    done = run(HERE / "brainscales2" / "discrete_lif.npz", "--semantics", tmp_path / "single.json")
    assert done.returncode == 1
    assert "spikes: 960 values, equal" in done.stdout


XYLO = HERE.parents[1] / "examples" / "third_party" / "hal_xylo" / "tests" / "golden"


def test_xylo_is_equal_with_its_plugin_and_without_it_says_what_to_install() -> None:
    files = sorted(XYLO.glob("*.npz"))
    assert len(files) == 10
    done = run(*files)
    if find_spec("hal_xylo") is None:
        assert done.returncode == 1
        assert done.stdout.count("pip install ./examples/third_party/hal_xylo") == len(files)
    else:
        assert done.returncode == 0, done.stdout
        assert f"{len(files)} of {len(files)} files equal" in done.stdout
        assert "from NIR: spikes_out" in done.stdout
        assert "from registers: spikes_out" in done.stdout


@pytest.mark.parametrize("name", ["cam", "sram", "input_map"])
def test_another_allocation_is_a_difference(tmp_path: Path, name: str) -> None:
    path = tmp_path / "alloc.npz"
    shutil.copy(HERE / "dynapse2" / "alloc_rec_4core.npz", path)
    with np.load(path) as file:
        values = file[name].copy()
    values.reshape(-1)[-1] += 1
    rewrite(path, **{name: values})
    done = run(path)
    assert done.returncode == 1
    assert "values, 1 differ" in done.stdout
