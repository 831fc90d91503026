"""The command line: `hal`, `neurohal`, `python -m hal`.

Exit codes: 0 done, 1 does not fit or failed, 2 the command line itself is wrong, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main", "run"]

DEBUG_FLAG = "--debug"
JSON_FLAG = "--json"


def run(argv: Sequence[str]) -> int:
    """Do what the arguments say and return the exit code; every error has been printed."""
    from hal.cli.failures import guarded

    # taken out before parsing, so that it may stand anywhere
    arguments = [word for word in argv if word != DEBUG_FLAG]
    debug = len(arguments) < len(argv) or os.environ.get("HAL_DEBUG", "") not in ("", "0")
    return guarded(lambda: _job(arguments), as_json=JSON_FLAG in arguments, debug=debug)


def _job(arguments: list[str]) -> int:
    if arguments in (["devices"], ["devices", JSON_FLAG]):
        # The plain list is what shells, editors and start-up scripts ask for: it is printed before anything but the
        # registry is imported. Some versions of typer import rich as soon as they are imported themselves.
        from hal.cli.listing import devices

        return devices(as_json=JSON_FLAG in arguments)
    from hal.cli.app import parse

    return parse(arguments)()


def main(argv: Sequence[str] | None = None) -> None:
    """The console entry point; ends the process."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))
