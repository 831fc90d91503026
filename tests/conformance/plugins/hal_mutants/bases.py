"""The correct devices that faults are mixed into, as unlike as the plugins of this repository are."""

import hal_dynapse2.plugin as dynapse2
import hal_loihi.plugin as loihi
from hal.evidence import evidence
from hal_dynapse2.device import Dynapse2Device
from hal_dynapse2.mapper import Dynapse2Mapper
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
DYNAPSE2 = enter(
    Base(
        name="dynapse2",
        spec=dynapse2.CHIP,
        device=Dynapse2Device,
        mapper=Dynapse2Mapper,
        evidence=lambda: evidence("dynapse2"),
        prefix="dynapse2-",
        full=True,
    )
)
