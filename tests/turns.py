"""Whose turn it is when several processes run the tests: a test that measures time is marked ``alone`` and runs so.

Everyone passes a gate before a test and holds the room during it: one who wants to be alone waits in the gate until the
room is empty, and nobody enters meanwhile. The locks are on files that are there anyway, so nothing has to be removed.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOM = Path(__file__)
GATE = ROOM.parent / "__init__.py"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run a test in its turn, with all that it sets up and takes down."""
    with in_turn(ROOM, GATE, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def in_turn(room_file: Path, gate_file: Path, *, alone: bool) -> Iterator[None]:
    """Be in the room, with others who are not alone or by oneself."""
    with room_file.open() as room:
        with gate_file.open() as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
