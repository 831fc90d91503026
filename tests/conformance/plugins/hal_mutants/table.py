"""The table of all mutants, as a page."""

from importlib import import_module
from itertools import groupby

from hal_mutants.catalogue import mutants

HEAD = """# Mutants

What keeps the conformance suite honest: correct devices with one fault each. A check that does not find the fault meant
for it is a bug of the suite. Every fault is mixed into two bases as unlike as chips are: `toy`, a small chip made up
for the tests upon `ideal`, and `loihi`. The device is called as the fault, on `loihi` with `loihi-` before it. The
tests fail where a check has no mutant on one of the two. What only a device without steps shows is mixed into a third,
`dynapse2`, with `dynapse2-` before the name. The faults are in `tests/conformance/plugins/hal_mutants`;
LOAD-001 and LOAD-002, which are about modules, are broken in `tests/conformance/test_mutants.py`.

Written by `python tests/conformance/mutants_table.py`; do not edit.
"""
COLUMNS = ("fault", "what is wrong", "base", "check", "words of the failure")


def text():
    """The page."""
    made = list(mutants().values())
    parts = [HEAD]
    for module, group in groupby((m for m in made if m.meant), key=lambda m: m.fault.__module__):
        title = import_module(module).__doc__.partition("\n")[0]
        parts += [f"## {module.rpartition('.')[2].capitalize()}\n", f"{title}\n", _table(group)]
    alone = [(_name(m), m.base.name, m.why) for m in made if m.why]
    if alone:
        parts += ["## On one base alone\n", _rows(("fault", "base", "why not on the other"), alone)]
    rest = [(f"`{m.name}`", m.says) for m in made if not m.meant]
    parts += ["## Without a check meant for them\n", _rows(("device", "what it is"), rest)]
    return "\n".join(parts)


def _name(mutant):
    return f"`{mutant.name.removeprefix(mutant.base.prefix)}`"


def _table(group):
    """One row for a fault and check, or two where the class or the words differ from base to base."""
    found = {}
    for mutant in group:
        for check, words in mutant.meant.items():
            found.setdefault((_name(mutant), mutant.says, check, words.strip()), []).append(mutant.base.name)
    return _rows(COLUMNS, [(n, says, ", ".join(on), check, words) for (n, says, check, words), on in found.items()])


def _rows(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in lines)
