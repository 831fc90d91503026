"""`hal new-plugin`: a project of one's own, made from the template that is kept, tested, in `hal/template`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

from hal.cli.failures import BadUsageError, printable
from hal.errors import Problem, WriteError

TEMPLATE: Final = Path(__file__).parents[1] / "template"
LEFT_BEHIND: Final = ("__pycache__", "*.pyc", ".*_cache", "*.egg-info", ".hypothesis")
"""What using the template, or installing it, leaves in it."""
LONGEST: Final = 40
"""Characters of a name: it is part of file names and of table columns."""

_NAME: Final = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
_MARK: Final = re.compile(r"^[ \t]*# (region: .+|endregion)\n", re.MULTILINE)
"""What tells the documents which part of a file to show."""
_WORD: Final = re.compile("hal_mychip|hal-mychip|test_mychip|Mychip|MYCHIP|mychip")


@attrs.frozen
class Names:
    """What a new chip is called. device: as given; it names the family, too."""

    device: str

    @property
    def plain(self) -> str:
        """Part of a module's name."""
        return re.sub(r"-", "_", self.device).lower()

    @property
    def package(self) -> str:
        """What is imported."""
        return f"hal_{self.plain}"

    @property
    def distribution(self) -> str:
        """What is installed, in the form that package indexes compare."""
        return f"hal-{re.sub(r'[-_]+', '-', self.device).strip('-').lower()}"

    def replaced(self, text: str) -> str:
        """Text of the template, in the new words."""
        words = {
            "hal_mychip": self.package,
            "hal-mychip": self.distribution,
            "test_mychip": f"test_{self.plain}",
            "Mychip": "".join(part[:1].upper() + part[1:] for part in re.split("[-_]+", self.device)),
            "MYCHIP": self.plain.upper(),
            "mychip": self.device,
        }
        return _WORD.sub(lambda match: words[match[0]], text)


def _unmarked(text: str) -> str:
    """Text without the documents' marks, and without the blank lines that stood around them."""
    text = re.sub(r"\n{4,}", "\n\n\n", re.sub(r"\n+$", "\n", _MARK.sub("", text)))
    return re.sub(r"\n{3,}(?=[ \t])", "\n\n", text)


def new_plugin(name: str, directory: str | None, *, as_json: bool) -> int:
    """Write the project hal-NAME into a directory, whole or not at all; 0 when done."""
    names = _checked(name)
    parent = Path(directory or ".")
    if not parent.is_dir():
        raise BadUsageError(f"--directory {parent}: there is no such directory", hint="make it first")
    target = parent / names.distribution
    if os.path.lexists(target):
        raise BadUsageError(f"{target} is there already", hint="nothing is overwritten: give another --directory")
    try:
        files = _write(names, target)
    except OSError as error:
        raise WriteError(f"cannot write {target}: {error.strerror or error}", file=str(target)) from error
    facts = {
        "name": names.device,
        "distribution": names.distribution,
        "package": names.package,
        "directory": str(target),
        "files": files,
    }
    print(json.dumps(facts) if as_json else _next(names, target, files))
    return 0


def _checked(name: str) -> Names:
    """The names that come of one, all of them free. Raises BadUsageError with every reason."""
    if not _NAME.fullmatch(name) or len(name) > LONGEST:
        problem = Problem(
            "a letter, then letters, digits, - and _ within", "NAME", value=name, limit=f"{LONGEST} characters"
        )
        raise BadUsageError("that cannot be the name of a chip", problems=[problem])
    names = Names(name)
    problems = list(_taken(names))
    if problems:
        raise BadUsageError(
            f"the name {name} is taken", problems=problems, hint="take another one; `hal devices` lists those in use"
        )
    return names


def _taken(names: Names) -> Iterator[Problem]:
    """Who has one of the names already, as far as can be told without importing anybody."""
    from hal.plugins import DEVICES, PLUGINS, entry_points

    for group, what in ((PLUGINS, "a family of devices"), (DEVICES, "a device")):
        for entry, distribution, _ in entry_points(group):
            if entry.name.lower() == names.device.lower():
                yield Problem(f"is {what} of the installed {distribution}", entry.name)
    if find_spec(names.package) is not None:
        yield Problem("is a module that can be imported already", names.package)


def _write(names: Names, target: Path) -> list[str]:
    """The project, made beside its place and then put there; its files, by name."""
    made = Path(tempfile.mkdtemp(prefix=f".{names.distribution}-", dir=target.parent))
    try:
        # not a project that only its maker may enter
        made.chmod(0o777 & ~_umask())
        for source in template_files():
            path = made / names.replaced(source.relative_to(TEMPLATE).as_posix())
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(names.replaced(_unmarked(source.read_text(encoding="utf-8"))), encoding="utf-8")
        # another project of that name, made meanwhile, is not replaced: it is not empty
        made.rename(target)
    except BaseException:
        with contextlib.suppress(OSError):
            shutil.rmtree(made)
        raise
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())


def _umask() -> int:
    """What this process takes off the permissions of new files; there is no way to ask without setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def template_files() -> list[Path]:
    """The files of the template, without what its use has left there."""
    found = []
    for folder, below, names in os.walk(TEMPLATE):
        below[:] = [name for name in below if not _left(name)]
        found += [Path(folder, name) for name in names if not _left(name)]
    return sorted(found)


def _left(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in LEFT_BEHIND)


def _next(names: Names, target: Path, files: list[str]) -> str:
    return printable(
        f"{len(files)} files in {target}: a made-up chip that passes silver. Next:\n\n"
        f"    cd {target}\n"
        '    python -m pip install -e ".[test]"\n'
        f"    hal conform {names.device} --level silver\n\n"
        "Then put your chip in its place; docs/authors.md of neurohal goes through it."
    )
