"""Parallel test processes wait for each other when one test measures time."""

import fcntl
import select
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

ENTER = """
import sys, pathlib
from tests.serialize import in_turn
with in_turn(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), alone=sys.argv[3] == "alone"):
    print("in", flush=True)
    input()
"""


@attrs.frozen
class Entrant:
    """A process that enters the room, and stays until ``leave`` is called."""

    process: "subprocess.Popen[str]"

    def is_in(self, seconds: float) -> bool:
        assert self.process.stdout is not None
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def leave(self) -> None:
        self.process.communicate("\n")


@pytest.fixture
def rooms(tmp_path: Path) -> tuple[Path, Path]:
    """The lock files of the room and of its gate."""
    files = (tmp_path / "room", tmp_path / "gate")
    for file in files:
        file.touch()
    return files


def enters(rooms: tuple[Path, Path], how: str) -> Entrant:
    command = [sys.executable, "-c", ENTER, *map(str, rooms), how]
    return Entrant(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


def closed(gate: Path) -> bool:
    """Return whether a process waits in the gate."""
    with gate.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_test_marked_alone_waits_for_all_others_and_runs_alone(rooms: tuple[Path, Path]) -> None:
    first, second = enters(rooms, "with others"), enters(rooms, "with others")
    assert first.is_in(20)
    assert second.is_in(20)
    alone = enters(rooms, "alone")
    while not closed(rooms[1]):
        pass
    late = enters(rooms, "with others")
    first.leave()
    assert not alone.is_in(0.1)
    second.leave()
    assert alone.is_in(20)
    assert not late.is_in(0.1), "a process that came later waits as well"
    alone.leave()
    assert late.is_in(20)
    late.leave()
