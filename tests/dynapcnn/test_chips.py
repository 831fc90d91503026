"""Chip tables: totals from the datasheet, aliases, lightness of the import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hal_dynapcnn.chips import ALIASES, CHIPS, chip


def test_nine_core_memories() -> None:
    for name in ("speck2e", "speck2f", "speck2b", "dynapcnndevkit"):
        table = CHIPS[name]
        assert table.n_cores == len(table.neuron_words) == len(table.bias_words) == 9
        assert sum(table.neuron_words) == 327_680
        assert sum(table.kernel_words) == 272 * 1024
        assert table.memory(5) == (65536, 16384, 1024)


def test_five_core_memories() -> None:
    for name in ("speck2cmini", "speck2dmini"):
        table = CHIPS[name]
        assert table.n_cores == len(table.neuron_words) == len(table.bias_words) == 5
        assert table.memory(0) == (16384, 65536, 0)
        assert table.memory(3) == (65536, 16384, 1024)
        assert sum(word > 0 for word in table.bias_words) == 2


def test_features_of_the_generations() -> None:
    for table in CHIPS.values():
        newer = table.name in ("speck2e", "speck2f")
        assert table.decimator == table.congestion_balancer == newer
        assert table.kill_bits == (table.name in ("speck2b", "dynapcnndevkit"))


def test_names_and_aliases() -> None:
    assert chip("speck2fmodule") is chip("speck2fdevkit") is CHIPS["speck2f"]
    assert chip("speck2edevkit") is CHIPS["speck2e"]
    assert chip("speck2btiny") is CHIPS["speck2b"]
    assert not set(ALIASES) & set(CHIPS)
    assert all(table.name == name for name, table in CHIPS.items())
    with pytest.raises(KeyError, match="speck2fmodule"):
        chip("speck9")


def test_core_outside_the_chip() -> None:
    for core in (-1, 9):
        with pytest.raises(IndexError, match=r"0\.\.8"):
            CHIPS["speck2f"].memory(core)


def test_import_is_light() -> None:
    code = "import sys, hal_dynapcnn.chips; print(sorted({'numpy', 'numba', 'scipy'} & set(sys.modules)))"
    path = [*sys.path]
    program = f"import sys; sys.path[:] = {path!r}; {code}"
    answer = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
