"""What opening a board comes to: the vendor's library is looked for, and driving it from here is not available yet."""

from __future__ import annotations

from typing import NoReturn

from hal import vendor
from hal.device import DeviceSpec
from hal.errors import CapabilityError

WAY = "hal export MAPPING --to dynapse2-json --out FILE writes the chip's configuration in the vendor's layout"


def refuse(spec: DeviceSpec) -> NoReturn:
    """Say what is missing: OptionalDependencyError without the library, else CapabilityError."""
    what = f"opening {spec.name} as hardware"
    hint = "SynSense serves it from an index of its own, named in the vendor's documentation; what PyPI has is a "
    hint += f"placeholder. {WAY}"
    vendor.require(spec.vendor, what, hint)
    raise CapabilityError(
        f"{what} is not available yet: boards are not driven from here", hint=WAY, capability="hardware"
    )
