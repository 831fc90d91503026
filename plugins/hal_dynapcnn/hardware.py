"""What opening a board comes to: the vendor's library is looked for, and driving it from here is not available yet."""

from __future__ import annotations

from typing import NoReturn

from hal import vendor
from hal.device import DeviceSpec
from hal.errors import CapabilityError

INDEX = "https://gitlab.com/api/v4/projects/27423070/packages/pypi/simple"
"""The vendor's package index, as the placeholder on PyPI names it."""
WAY = "hal export MAPPING --to samna --out FILE writes a script that configures the chip through samna"


def refuse(spec: DeviceSpec) -> NoReturn:
    """Say what is missing: OptionalDependencyError without the library, else CapabilityError."""
    what = f"opening {spec.name} as hardware"
    hint = f"the vendor's index has it: pip install samna --index-url {INDEX}; what PyPI has is a placeholder. {WAY}"
    vendor.require(spec.vendor, what, hint)
    raise CapabilityError(
        f"{what} is not available yet: boards are not driven from here", hint=WAY, capability="hardware"
    )
