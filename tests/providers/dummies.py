"""Dummy providers on a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from vmpooler.providers.base import Provider
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.settings import Pool

T = TypeVar("T")
EPOCH = 1_700_000_000.0


class DummyCase:
    """A dummy provider, its clock, and two pools."""

    def __init__(self, now: float = EPOCH, **settings: Any) -> None:
        self.clock = Clock()
        self.clock.rightNow = now
        self.settings = Dummy(**settings)
        self.dummy = DummyProvider(self.settings, self.clock, self.clock.seconds, random.Random(1))
        self.provider: Provider = self.dummy
        self.pool = Pool(name="alpha", size=5)
        self.other_pool = Pool(name="beta", size=5)

    async def finish(self, work: Awaitable[T]) -> T:
        done = work if isinstance(work, Deferred) else ensureDeferred(cast(Coroutine[Deferred[Any], Any, T], work))
        self.clock.advance(0)
        while not done.called:
            assert self.clock.getDelayedCalls(), "nothing will ever finish this"
            self.clock.advance(0.1)
        return await done

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        while not await holds():
            assert self.clock.getDelayedCalls(), "nothing will ever make this hold"
            self.clock.advance(0.1)

    def cut_off(self) -> None:
        self.dummy.outage("no route to the hypervisor")

    def switch_off(self, name: str) -> None:
        self.dummy.switch_off(name)

    def disks(self, name: str) -> list[int]:
        return [disk.size for disk in self.dummy.vms()[name].disks]


async def started(now: float = EPOCH, **settings: Any) -> DummyCase:
    """Return a case whose provider is started."""
    case = DummyCase(now, **settings)
    await case.provider.start()
    return case
