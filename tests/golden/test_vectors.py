"""What plugins vouch for is what the golden files say, and their models at limits are at their limits."""

from __future__ import annotations

import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

import hal
from hal import registry
from hal.evidence import Vector, evidence, read_vectors

HERE = Path(__file__).parent
PLUGINS = ("hal_dynapcnn", "hal_loihi")
CHIPS = ("speck2e", "speck2f", "speck2b", "speck2cmini", "speck2dmini", "dynapcnndevkit", "loihi")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vectors made anew of the golden files."""
    folder = tmp_path_factory.mktemp("plugins")
    done = subprocess.run(
        [sys.executable, str(HERE / "vectors.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def packaged(plugin: str) -> Path:
    """The vectors that a plugin brings."""
    return Path(str(resources.files(plugin).joinpath("vectors")))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_packaged_vectors_are_those_of_the_golden_files(plugin: str, made: Path) -> None:
    ours, theirs = (read_vectors(folder) for folder in (packaged(plugin), made / plugin / "vectors"))
    assert [vector.name for vector in ours] == [vector.name for vector in theirs]
    assert len(ours) >= 2
    for one, other in zip(ours, theirs, strict=True):
        same(one, other)
        files = (folder / f"{one.name}.nir" for folder in (packaged(plugin), made / plugin / "vectors"))
        assert len({file.read_bytes() for file in files}) == 1


def same(one: Vector, other: Vector) -> None:
    """Two vectors, field by field."""
    for field in ("source", "duration_ns", "options", "open_options", "window_ns"):
        assert getattr(one, field) == getattr(other, field)
    assert one.model.fingerprint == other.model.fingerprint
    assert one.model.semantics == other.model.semantics
    for field in ("stimulus", "spikes"):
        ours, theirs = getattr(one, field), getattr(other, field)
        assert list(ours) == list(theirs)
        for name, records in ours.items():
            np.testing.assert_array_equal(records, theirs[name])


@pytest.mark.parametrize("plugin", PLUGINS)
def test_vectors_say_where_they_come_from_and_ask_for_equal_times(plugin: str) -> None:
    spikes = 0
    for vector in read_vectors(packaged(plugin)):
        assert any(word in vector.source for word in ("sinabs 3.1.3", "nengo-loihi 1.1.0"))
        assert vector.window_ns == 0
        spikes += sum(train.size for train in vector.spikes.values())
        for train in (*vector.spikes.values(), *vector.stimulus.values()):
            assert train.size
            assert train["t"].max() < vector.duration_ns
    assert spikes > 1000


@pytest.mark.parametrize("name", CHIPS)
def test_models_at_a_limit_use_it_up_and_one_more_is_over_it_alone(name: str) -> None:
    declared = {resource.name: resource.limit for resource in registry.spec(name).resources}
    mapper = hal.mapper(name)
    for pair in evidence(name).limits:
        fits, over = (mapper.check(model, dict(pair.options)) for model in (pair.fits, pair.over))
        assert fits.fits
        needed = max(row.needed for row in fits.rows if row.resource == pair.resource)
        assert needed == max(declared[pair.resource])
        assert all(pair.resource in finding.reason for finding in over.refused)
        assert {row.resource for row in over.rows if not row.ok} == {pair.resource}


@pytest.mark.parametrize("name", CHIPS)
def test_every_chip_brings_vectors_and_a_pair(name: str) -> None:
    found = evidence(name)
    assert found.vectors
    assert found.limits
    assert (found.why, found.overload, found.agreement) == ("", None, None)
