"""What the DYNAP-SE2 plugin vouches for is what scipy says now, on the registers as they are mapped now."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import hal
from hal.evidence import Vector, read_vectors

HERE = Path(__file__).parent
SOURCES = {"dynapse2": "scipy's solve_ivp", "dynapse2-dynapsim": "rockpool 3.1.0, DynapSim"}
AGAIN_NS = 100_000_000
AGAIN = """
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import numpy as np
from make_dynapse2_vectors import chip, stimulus, write_model

folder = Path(sys.argv[2])
write_model(folder / "model.nir", 5)
made = chip(folder / "model.nir", int(sys.argv[3]))
np.savez(folder / "made.npz", dynapsim=stimulus(12, 500_000_000, 100.0, 1_000_000), **made["spikes"])
"""


def packaged(device: str) -> Vector:
    """The one vector of a device."""
    folder = resources.files("hal_dynapse2").joinpath("vectors", device)
    (vector,) = read_vectors(Path(str(folder)))
    return vector


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model made anew, and what scipy says of its first tenth of a second."""
    folder = tmp_path_factory.mktemp("vectors")
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(HERE), str(folder), str(AGAIN_NS)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_scipy_says_the_same_again(again: Path) -> None:
    vector = packaged("dynapse2")
    with np.load(again / "made.npz", allow_pickle=False) as made:
        for name, train in vector.spikes.items():
            early = train[train["t"] < AGAIN_NS]
            assert early.size == made[name].size > 10
            order = [np.lexsort((spikes["t"], spikes["index"])) for spikes in (early, made[name])]
            np.testing.assert_array_equal(early["index"][order[0]], made[name]["index"][order[1]])
            # another build of scipy may round to the other side of a microsecond
            np.testing.assert_allclose(early["t"][order[0]], made[name]["t"][order[1]], rtol=0, atol=1000)


@pytest.mark.parametrize("device", SOURCES)
def test_vectors_are_of_the_model_that_the_script_makes(device: str, again: Path) -> None:
    vector = packaged(device)
    assert vector.model.fingerprint == hal.read_model(again / "model.nir", vector.model.semantics).fingerprint
    if device == "dynapse2-dynapsim":
        with np.load(again / "made.npz", allow_pickle=False) as made:
            np.testing.assert_array_equal(vector.stimulus["input"], made["dynapsim"])


@pytest.mark.parametrize("device", SOURCES)
def test_vectors_say_where_they_come_from_and_have_enough_spikes(device: str) -> None:
    vector = packaged(device)
    assert SOURCES[device] in vector.source
    assert vector.window_ns == (2000 if device == "dynapse2" else 0)
    assert set(vector.spikes) == {"first", "output"}
    assert sum(train.size for train in vector.spikes.values()) >= 150
