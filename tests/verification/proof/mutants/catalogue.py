"""The list of deliberate faults."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tests.verification.proof.invariants import INVARIANTS, Invariant

ROOT = Path(__file__).parents[4]
"""The top of the source tree."""

LIST = Path(__file__).with_name("mutants.toml")


class Stale(Exception):
    """The source no longer matches a mutant. The text names the mutant, and how often the text that it replaces was
    found."""


@attrs.frozen
class TextChange:
    """A piece of a file, and the text that replaces it."""

    find: str
    put: str


@attrs.frozen
class Mutant:
    """A fault in ``file`` that breaks an invariant. At least one of the ``tests`` must fail for it."""

    name: str
    breaks: int
    file: str
    tests: tuple[str, ...]
    changes: tuple[TextChange, ...]

    @property
    def invariant(self) -> Invariant:
        """The invariant that it breaks."""
        return next(each for each in INVARIANTS if each.number == self.breaks)

    def applied(self, root: Path) -> str:
        """Return the text of the file in a tree, with the fault in it. Raises Stale."""
        text = (root / self.file).read_text(encoding="utf-8")
        for change in self.changes:
            if (count := text.count(change.find)) != 1:
                raise Stale(f"{self.name}: {count} times in {self.file}: {change.find.strip()}")
            text = text.replace(change.find, change.put)
        return text


def mutants() -> list[Mutant]:
    """Return all mutants, in the order of the file."""
    return [_mutant(entry) for entry in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]


def _mutant(entry: Mapping[str, Any]) -> Mutant:
    known = {field: value for field, value in entry.items() if field not in ("change", "tests")}
    return Mutant(**known, tests=tuple(entry["tests"]), changes=tuple(TextChange(**each) for each in entry["change"]))
