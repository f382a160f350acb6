"""Watches the leadership lease, and measures how long no manager held it after its holder was killed."""

import time
from threading import Thread

import attrs

from tests.verification.chaos.redis_reader import RedisReader

EVERY = 0.03
"""Seconds between two reads."""


@attrs.frozen
class LeaderKill:
    """A leading manager was killed: when (epoch), the mark of its lease, and whether Redis was undisturbed."""

    when: float
    mark: str
    undisturbed: bool


class LeaseWatcher(Thread):
    """Watches the lease. Set ``done`` to stop it. ``marks`` has each lease, and when (epoch) it was first seen."""

    def __init__(self, books: RedisReader) -> None:
        super().__init__(name="lease watcher", daemon=True)
        self.marks: list[tuple[float, str]] = []
        self.kills: list[LeaderKill] = []
        self.done = False
        self._books = books

    def run(self) -> None:
        while not self.done:
            try:
                mark = self._books.leader()
            except OSError:
                mark = ""
            if mark and (not self.marks or self.marks[-1][1] != mark):
                self.marks.append((time.time(), mark))
            time.sleep(EVERY)

    @property
    def mark(self) -> str:
        """Epoch and name of the last manager that was seen to lead."""
        return self.marks[-1][1] if self.marks else ""

    def takeovers(self) -> list[float]:
        """Return the seconds from each kill of a leading manager until another led. Kills while Redis was disturbed are
        left out."""
        found = []
        for kill in self.kills:
            later = [when for when, mark in self.marks if mark != kill.mark and when > kill.when]
            if kill.undisturbed and later:
                found.append(later[0] - kill.when)
        return found


def pid_of(mark: str) -> int:
    """Return the process id in a lease's mark: the name is host, pid and a random part; 0 for no lease."""
    return int(mark.rsplit("-", 2)[1]) if mark else 0
