"""Reads Redis a few times a second during the run."""

import time
from threading import Thread

import attrs

from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.model import Queue


@attrs.frozen
class RedisSample:
    """The contents of Redis at one moment.

    They are the place of each VM, the clones in flight, the number of clones that Ruby vmpooler counts, and the last
    event before. ``when`` is in seconds since the epoch, and approximate.
    """

    when: float
    queues: dict[tuple[str, Queue], set[str]]
    cloning: set[str]
    count: int
    last: str
    verified: set[str] | None = None
    """The pools that VMs are given from; None for all."""

    def places(self) -> dict[str, list[Queue]]:
        """Return every VM with the queues that it stands in."""
        found: dict[str, list[Queue]] = {}
        for (_, queue), vms in self.queues.items():
            for vm in vms:
                found.setdefault(vm, []).append(queue)
        return found


def sample(books: RedisReader, pools: list[str]) -> RedisSample:
    """Take a sample now. Raises OSError when Redis is away."""
    queues, cloning, count, last, verified = books.moment(pools)
    return RedisSample(time.time(), queues, cloning, count, last, verified)


class Watcher(Thread):
    """Takes samples at a fixed interval in seconds. Set ``done`` to stop it."""

    def __init__(self, books: RedisReader, pools: list[str], every: float) -> None:
        super().__init__(name="watcher", daemon=True)
        self.samples: list[RedisSample] = []
        self.done = False
        self._books, self._pools, self._every = books, pools, every

    def run(self) -> None:
        while not self.done:
            try:
                self.samples.append(sample(self._books, self._pools))
            except OSError:
                time.sleep(0.1)
            time.sleep(self._every)
