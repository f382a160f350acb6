"""What a case is, and the list of all cases."""

from collections.abc import Callable

import attrs

from tests.cases.world import CaseWorld

Play = Callable[[CaseWorld], str]
"""Plays a case. Returns the facts when all is as it should be. Raises AssertionError with the facts otherwise."""


@attrs.frozen
class FaultCase:
    """``name`` is as in the list of faults: kind and letter. ``before`` is the result that was seen. ``needs`` are
    parts of the machine, by the names of tests/parts.py."""

    name: str
    title: str
    before: str
    play: Play
    needs: tuple[str, ...] = ()


CASES: list[FaultCase] = []
"""All cases, in order."""


def case(name: str, title: str, before: str, *needs: str) -> Callable[[Play], Play]:
    """Register a function as a case."""

    def enter(play: Play) -> Play:
        CASES.append(FaultCase(name, title, before, play, needs))
        return play

    return enter
