"""Serializes tests across parallel test processes: a test that measures time is marked ``alone``, and runs alone.

Each process passes the gate (a lock) before a test, and holds the room (another lock) during the test. A process whose
test runs alone waits in the gate until the room is empty, and no other process enters meanwhile. The locks are on
existing source files, so no file has to be removed.
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
    """Run a test, with its setup and teardown, while this process holds the room."""
    with in_turn(ROOM, GATE, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def in_turn(room_file: Path, gate_file: Path, *, alone: bool) -> Iterator[None]:
    """Hold the room: exclusively if ``alone``, else shared with other tests that are not alone."""
    with room_file.open() as room:
        with gate_file.open() as gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
