"""Which neurons may share a core, and what they lose by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hal.notes import Notes
from hal_dynapse2.cells import Cells
from hal_dynapse2.sets import group


def _cells(name: str, n: int = 1, **values: Any) -> Cells:
    usual = {"tau_mem": 20e-3, "tau_syn": 5e-3, "refractory": 5e-4, "drive": 0.0, "area": 1e-2} | values
    arrays = {key: np.broadcast_to(np.asarray(value, float), (n,)).copy() for key, value in usual.items()}
    return Cells(name=name, shape=(n,), latency=0, inputs=(), **arrays)


def _group(*cells: Cells, tolerance: float = 0.0) -> tuple[Any, Any, Any]:
    notes = Notes(frozenset())
    made, of = group(cells, tolerance, notes)
    return made, of, notes.findings


def test_equal_neurons_are_one_set_across_populations_and_weights_have_no_say() -> None:
    made, of, findings = _group(_cells("a", 3, area=[1, 2, 3]), _cells("b", 2))
    assert (len(made), of.tolist(), findings) == (1, [0] * 5, [])
    assert (made[0].tau_mem, made[0].tau_syn, made[0].refractory, made[0].drive) == (20e-3, 5e-3, 5e-4, 0.0)


@pytest.mark.parametrize("field", ["tau_mem", "tau_syn", "refractory", "drive"])
def test_each_bias_that_differs_makes_a_set_in_the_order_of_first_neurons(field: str) -> None:
    made, of, findings = _group(_cells("a", 3, **{field: [0.3, 0.1, 0.3]}), _cells("b", 2, **{field: [0.2, 0.1]}))
    assert of.tolist() == [0, 1, 0, 2, 1]
    assert [getattr(s, field) for s in made] == [0.3, 0.1, 0.2]
    assert findings == []


def test_sums_of_64_bits_do_not_make_sets() -> None:
    made, _, findings = _group(_cells("a", 2, tau_mem=[0.3, 0.1 + 0.2]))
    assert (len(made), findings) == (1, [])


@pytest.mark.parametrize(("tolerance", "sets"), [(0.0, 3), (0.09, 3), (0.101, 2), (0.21, 1)])
def test_neurons_join_the_first_set_within_the_tolerance_and_that_is_told(tolerance: float, sets: int) -> None:
    made, of, findings = _group(_cells("a", 3, tau_mem=[0.1, 0.11, 0.12]), tolerance=tolerance)
    assert len(made) == sets
    assert [made[k].tau_mem for k in of] == pytest.approx(
        {3: [0.1, 0.11, 0.12], 2: [0.1, 0.1, 0.12]}.get(sets, [0.1] * 3)
    )
    told = [(f.level, f.node, f.field, f.wanted, f.realised) for f in findings]
    worst = {3: [], 2: [("changed", "a", "tau_mem", "0.11", "0.1")], 1: [("changed", "a", "tau_mem", "0.12", "0.1")]}
    assert told == worst[sets]


def test_how_many_neurons_are_off_is_told() -> None:
    _, _, findings = _group(_cells("a", 4, tau_syn=[0.1, 0.1, 0.105, 0.104]), tolerance=0.1)
    assert findings[0].reason.endswith("(2)")
    assert findings[0].wanted == "0.105"


def test_neurons_without_a_drive_go_with_any_whichever_comes_first() -> None:
    for drives in ([0, 0.5, 0], [0.5, 0, 0.5]):
        made, of, findings = _group(_cells("a", 3, drive=drives))
        assert (len(made), made[0].drive, of.tolist(), findings) == (1, 0.5, [0, 0, 0], [])


def test_two_drives_are_two_sets_even_where_neurons_without_one_come_first() -> None:
    made, of, _ = _group(_cells("a", 4, drive=[0, 0.5, 0.7, 0]))
    assert [s.drive for s in made] == [0.5, 0.7]
    assert of.tolist() == [0, 0, 1, 0]


def test_a_drive_is_never_switched_off_by_the_tolerance() -> None:
    made, of, _ = _group(_cells("a", 2, drive=[1e-6, 1.0]), tolerance=1.0)
    assert [made[k].drive > 0 for k in of] == [True, True]
