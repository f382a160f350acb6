"""Looks at Redis a few times a second while the run goes on."""

import time
from threading import Thread

import attrs

from tests.chaos.books import Books
from vmpooler.domain.model import Queue


@attrs.frozen
class Sample:
    """One moment of Redis: where each VM stands, the clones under way, what the original counts of them, and the last
    event before. ``when`` is in seconds since the epoch, and only about."""

    when: float
    queues: dict[tuple[str, Queue], set[str]]
    cloning: set[str]
    count: int
    last: str
    verified: set[str] | None = None
    """The pools that VMs are given from; None for all."""

    def places(self) -> dict[str, list[Queue]]:
        """Every VM, and the queues that it stands in."""
        found: dict[str, list[Queue]] = {}
        for (_, queue), vms in self.queues.items():
            for vm in vms:
                found.setdefault(vm, []).append(queue)
        return found


def sample(books: Books, pools: list[str]) -> Sample:
    """One now. Raises OSError when Redis is away."""
    queues, cloning, count, last, verified = books.moment(pools)
    return Sample(time.time(), queues, cloning, count, last, verified)


class Watcher(Thread):
    """Takes samples, so many seconds apart. Set ``done`` to have it end."""

    def __init__(self, books: Books, pools: list[str], every: float) -> None:
        super().__init__(name="watcher", daemon=True)
        self.samples: list[Sample] = []
        self.done = False
        self._books, self._pools, self._every = books, pools, every

    def run(self) -> None:
        while not self.done:
            try:
                self.samples.append(sample(self._books, self._pools))
            except OSError:
                time.sleep(0.1)
            time.sleep(self._every)
