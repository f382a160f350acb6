"""VMs of checkouts with an unknown outcome return to ready, however late Redis reports them."""

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.task import Clock, deferLater

from tests.store.contents import make_ready, members
from tests.web.conftest import PLAIN
from tests.web.test_vm import now
from vmpooler.domain.errors import StoreAway
from vmpooler.domain.model import Queue
from vmpooler.store.commands.checkouts import Checkouts, Given, Wanted
from vmpooler.store.keys import queue
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import Script
from vmpooler.web.http.router import RequestsInFlight
from vmpooler.web.unclaimed import LATE_ARRIVAL, RETRY_DELAY, UnclaimedVms

POOL = "debian-12-x86_64"

START = "0-0"
"""An id before every event: all events in the stream come after it."""


async def taken(store: Connection, checkout_id: str, vm: str) -> None:
    """Check out a VM under this checkout id."""
    await make_ready(store, vm, pool=POOL)
    await Checkouts(store, PLAIN).checkout([Wanted(POOL, 1, (POOL,))], checkout_id, None, now())


async def looks(store: Connection, clock: Clock, count: int = 1) -> None:
    """Advance the clock until ``count`` attempts are due, and let each attempt finish."""
    for _ in range(count):
        clock.advance(RETRY_DELAY)
        await store.call("PING")
        await deferLater(reactor, 0.01)


async def test_a_checkout_that_comes_after_the_first_look_for_it_goes_back_too(store: Connection) -> None:
    clock, under_way = Clock(), RequestsInFlight()
    clock.advance(now())
    UnclaimedVms(Checkouts(store, PLAIN), clock, clock.seconds, under_way).later("late", START, "lost")
    await looks(store, clock, 2)
    await taken(store, "late", "vm")
    await looks(store, clock)
    assert await members(store, Queue.READY, POOL) == {"vm"}
    await looks(store, clock, int(LATE_ARRIVAL / RETRY_DELAY) + 2)
    assert await under_way.idle(0.01, reactor)


async def test_checkouts_of_unknown_outcome_go_back_also_later_in_the_life_of_a_process(store: Connection) -> None:
    clock, under_way = Clock(), RequestsInFlight()
    clock.advance(now())
    returns = UnclaimedVms(Checkouts(store, PLAIN), clock, clock.seconds, under_way)
    for vm in ("first", "second"):
        await taken(store, vm, vm)
        returns.later(vm, START, "lost")
        await looks(store, clock, 2)
        assert vm in await members(store, Queue.READY, POOL)
        await store.call("DEL", queue(Queue.READY, POOL))
    assert await under_way.idle(0.01, reactor)


class Sick:
    """A connection whose first ``times`` commands fail with StoreAway."""

    def __init__(self, store: Connection, times: int) -> None:
        self._store = store
        self.times = times

    async def call(self, *command: Any) -> Any:
        self._fail()
        return await self._store.call(*command)

    async def run(self, script: Script, /, **values: Any) -> Any:
        self._fail()
        return await self._store.run(script, **values)

    def _fail(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise StoreAway("Redis is away")


async def test_what_could_not_go_back_at_once_goes_back_when_redis_answers(store: Connection) -> None:
    clock, under_way = Clock(), RequestsInFlight()
    clock.advance(now())
    returns = UnclaimedVms(Checkouts(cast(Connection, Sick(store, 3)), PLAIN), clock, clock.seconds, under_way)
    await taken(store, "id", "vm")
    await returns.now([Given(POOL, POOL, "vm")], "id", START, "its client hung up")
    await looks(store, clock, 2)
    assert await members(store, Queue.RUNNING, POOL) == {"vm"}, "Redis was away"
    await looks(store, clock, 2)
    assert await members(store, Queue.READY, POOL) == {"vm"}
    assert await under_way.idle(0.01, reactor)


async def test_a_checkout_is_found_by_a_process_whose_clock_is_ahead_of_that_of_redis(store: Connection) -> None:
    clock, under_way = Clock(), RequestsInFlight()
    clock.advance(now() + 30)
    await taken(store, "id", "vm")
    UnclaimedVms(Checkouts(store, PLAIN), clock, clock.seconds, under_way).later("id", START, "lost")
    await looks(store, clock, 2)
    assert await members(store, Queue.READY, POOL) == {"vm"}
    assert await under_way.idle(0.01, reactor)
