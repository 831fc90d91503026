"""Row selects: groups reach their own drivers alone, and where that is refused it cannot be had."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal_brainscales2.selects import Chosen, Wanted, choose

POSITIONS = range(32)


def check(groups: list[Wanted], made: Chosen) -> None:
    """By the driver's own rule."""
    for g, group in enumerate(groups):
        for output, select in zip(group.outputs, made.selects[g], strict=False):
            assert select >> 2 == output
    for h in range(2):
        owned = [positions[h].tolist() for positions in made.positions]
        assert [len(own) for own in owned] == [group.drivers[h] for group in groups]
        every = [position for own in owned for position in own]
        assert len(set(every)) == len(every)
        for g, own in enumerate(owned):
            for position, mask in zip(own, made.masks[g][h].tolist(), strict=True):
                for other, selects in enumerate(made.selects):
                    # groups without drivers in a hemisphere have no events there
                    if groups[other].drivers[h]:
                        takes = {(select & mask) == (position & mask) for select in selects}
                        assert takes == {other == g}


def possible(groups: list[Wanted]) -> bool:
    """Every combination of row selects, every mask, and Hall's condition."""
    options = [
        [tuple(output * 4 + low for output in group.outputs) for low in range(4)]
        if group.outputs
        else [(select,) for select in POSITIONS]
        for group in groups
    ]
    return any(
        all(distinct(selects, [g.drivers[h] for g in groups]) for h in range(2)) for selects in product(*options)
    )


def distinct(selects: tuple[tuple[int, ...], ...], drivers: list[int]) -> bool:
    here = [g for g, count in enumerate(drivers) if count]
    able = {g: {p for p in POSITIONS if any(one(selects, here, g, p, mask) for mask in POSITIONS)} for g in here}
    return all(
        len(set().union(*(able[g] for g in some))) >= sum(drivers[g] for g in some)
        for size in range(1, len(here) + 1)
        for some in combinations(here, size)
    )


def one(selects: tuple[tuple[int, ...], ...], here: list[int], group: int, position: int, mask: int) -> bool:
    return all({(s ^ position) & mask == 0 for s in selects[g]} == {g == group} for g in here)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_what_is_chosen_reaches_its_own_drivers_alone(data: st.DataObject) -> None:
    bus = data.draw(st.integers(0, 3))
    outputs = data.draw(st.sampled_from([[], [(bus,)], [(bus, bus + 4)], [(bus,), (bus + 4,)]]))
    outputs = [*outputs, *[()] * data.draw(st.integers(0 if outputs else 1, 4))]
    left = [32, 32]
    groups = []
    for own in outputs:
        drivers = tuple(data.draw(st.integers(0, left[h])) for h in range(2))
        left = [left[h] - drivers[h] for h in range(2)]
        groups.append(Wanted(own, drivers))
    made = choose(groups)
    if isinstance(made, Chosen):
        check(groups, made)
    else:
        assert made < sum(sum(group.drivers) for group in groups)


@pytest.mark.parametrize(
    ("groups", "fits"),
    [
        ([Wanted((1,), (32, 0))], True),
        ([Wanted((1,), (28, 4)), Wanted((5,), (4, 28))], True),
        ([Wanted((1,), (29, 0)), Wanted((5,), (3, 0))], False),
        ([Wanted((1,), (29, 0)), Wanted((5,), (0, 3))], True),
        ([Wanted((3,), (4, 0)), Wanted((), (25, 0))], True),
        ([Wanted((3,), (1, 0)), Wanted((), (31, 0))], True),
        ([Wanted((3, 7), (1, 0)), Wanted((), (31, 0))], False),
    ],
)
def test_what_is_refused_cannot_be_had(groups: list[Wanted], fits: bool) -> None:
    made = choose(groups)
    assert isinstance(made, Chosen) == fits == possible(groups)
    if isinstance(made, Chosen):
        check(groups, made)


def test_two_event_outputs_apart_have_28_drivers_each_at_most() -> None:
    assert choose([Wanted((1,), (30, 0)), Wanted((5,), (2, 0))]) == 30


def test_a_group_alone_needs_no_mask() -> None:
    made = choose([Wanted((0, 4), (32, 7))])
    assert isinstance(made, Chosen)
    assert not any(mask.any() for mask in made.masks[0])
