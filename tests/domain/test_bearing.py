"""The limit that finds itself, against providers that slow down in different ways."""

import heapq
from collections.abc import Callable
from random import Random

import attrs
import pytest

from vmpooler.domain.bearing import Bearing, Clone

POOLS = {"small": 3.0, "large": 9.0}
"""Seconds that a clone of each takes alone."""


@attrs.define
class Provider:
    """Clones as they go when ``bears`` of them at once take no longer than one: beyond that all of them together are as
    fast (``crush`` 1), or slower the more there are (2)."""

    bears: float
    crush: float
    noise: float
    chance: Random
    now: float = 0.0
    made: int = 0

    def speed(self, under_way: int) -> float:
        return min(1.0, (self.bears / under_way) ** self.crush)

    def run(self, bearing: Bearing, seconds: float) -> float:
        """VMs made a second, weighed by the time that they take alone."""
        end, before = self.now + seconds, self._work()
        while self.now < end:
            self.step(bearing)
        return (self._work() - before) / seconds
    

    work: float = 0.0
    left: list[tuple[float, Clone]] = attrs.field(factory=list)

    def _work(self) -> float:
        return self.work

    def step(self, bearing: Bearing) -> None:
        """Until the next clone ends; meanwhile as many are under way as may be."""
        while len(self.left) < bearing.limit:
            pool = self.chance.choice(sorted(POOLS))
            takes = POOLS[pool] * self.chance.uniform(1 - self.noise, 1 + self.noise)
            self.left.append((takes, bearing.begin(pool, self.now)))
        speed = self.speed(len(self.left))
        soonest = min(takes for takes, _ in self.left)
        self.now += soonest / speed
        ended = [clone for takes, clone in self.left if takes <= soonest]
        self.left = [(takes - soonest, clone) for takes, clone in self.left if takes > soonest]
        for clone in ended:
            self.work += POOLS[clone.pool]
            bearing.end(clone, self.now, done=True)
