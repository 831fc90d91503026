"""The two correct devices that all faults are mixed into, as unlike as the plugins of this repository are."""

import hal_loihi.plugin as loihi
from hal.evidence import evidence
from hal_loihi.device import LoihiDevice
from hal_loihi.mapper import LoihiMapper
from hal_mutants import toy
from hal_mutants.catalogue import Base, enter

TOY = enter(Base(name="toy", spec=toy.SPEC, device=toy.ToyDevice, mapper=toy.ToyMapper, evidence=toy.evidence))
LOIHI = enter(
    Base(
        name="loihi",
        spec=loihi.SPEC,
        device=LoihiDevice,
        mapper=LoihiMapper,
        evidence=lambda: evidence("loihi"),
        prefix="loihi-",
        full=True,
    )
)
