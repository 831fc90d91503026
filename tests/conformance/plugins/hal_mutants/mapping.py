"""Where everything went, under which names, and the same each time."""

import attrs

from hal.mapping import Mapping as ChipMapping
from hal.mapping import Placement
from hal_mutants.catalogue import fault
from hal_mutants.mixins import PlainMapper
from hal_mutants.opening import without


@attrs.frozen(kw_only=True, eq=False)
class HalfMapping(ChipMapping):
    def save(self, path):
        whole = {f.name: getattr(self, f.name) for f in attrs.fields(ChipMapping)}
        ChipMapping(**{**whole, "fates": self.fates[1:]}).save(path)


@fault("saves-half", {"CONF-003": "fates read back differs"})
class SavesHalf(PlainMapper):
    """Saves a mapping without one of its fates."""

    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        return HalfMapping(**{f.name: getattr(made, f.name) for f in attrs.fields(ChipMapping)})


class Places(PlainMapper):
    """Places neurons elsewhere than it says."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        if plan.placement is None:
            return plan
        rows = self.moved(plan.placement.rows.copy())
        return attrs.evolve(plan, placement=Placement(plan.placement.nodes, rows))


@fault("doubles-places", {"MAP-005": "are given twice"})
class DoublesPlaces(Places):
    """Gives two neurons one place."""

    def moved(self, rows):
        rows["neuron"] //= 2
        return rows


@fault("leaves-out-neurons", {"MAP-005": "has 5 neurons, placed are [0, 1, 2, 3]"})
class LeavesOutNeurons(Places):
    """Leaves the last neuron out of the placement."""

    def moved(self, rows):
        return rows[:-1]


@fault("wanders", {"MAP-007": "it moves"})
class Wanders(Places):
    """Places the same network elsewhere each time."""

    calls = 0

    def moved(self, rows):
        Wanders.calls += 1
        rows["neuron"][rows["core"] >= 0] += Wanders.calls
        return rows


@fault("keeps-silent", {"MAP-006": "fates are of"})
class KeepsSilent(PlainMapper):
    """Says nothing of what became of one node."""

    def map(self, model, options=None, **more):
        made = super().map(model, options, **more)
        return attrs.evolve(made, fates=made.fates[:-1])


@fault("spoils-model", {"MAP-007": "other registers the second time"})
class SpoilsModel(PlainMapper):
    """Changes a weight of the model it is given."""

    def _plan(self, model, *args):
        for node in model.nodes.values():
            if node.type == "Linear":
                node.weight[0, 0] += 1
        return super()._plan(model, *args)


@fault("renames-places", {"MAP-008": "the placement is of"})
class RenamesPlaces(PlainMapper):
    """Takes slashes out of names in the placement."""

    def _plan(self, *args):
        plan = super()._plan(*args)
        if plan.placement is None:
            return plan
        names = tuple(name.replace("/", "_") for name in plan.placement.nodes)
        return attrs.evolve(plan, placement=Placement(names, plan.placement.rows))


@fault("like-moves", {"MAP-009": "moved input, hidden, neurons"})
class LikeMoves(PlainMapper):
    """Moves neurons when it is asked to keep their places."""

    def map(self, model, options=None, *, like=None, **more):
        made = super().map(model, options, **more)
        if like is None:
            return made
        rows = made.placement.rows.copy()
        rows["neuron"] += 1
        return attrs.evolve(made, placement=Placement(made.placement.nodes, rows))


@fault("like-forgets", {"MAP-009": "other weights gave the same registers"})
class LikeForgets(PlainMapper):
    """Gives back the earlier registers where it should take new weights."""

    def map(self, model, options=None, *, like=None, **more):
        return super().map(model, options, **more) if like is None else attrs.evolve(like, model=model)


@fault("like-undeclared", {"MAP-009": "not properly refused"})
class LikeUndeclared(PlainMapper):
    """Ignores `like=` where it should refuse it."""

    declare = without("map.like")

    def map(self, model, options=None, *, like=None, **more):
        return super().map(model, options, **more)
