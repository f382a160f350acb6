"""One manager leads at a time, and each leadership has a higher epoch."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent

from vmpooler.domain.errors import NotLeading
from vmpooler.store import keys
from vmpooler.store.commands.registry import leader_and_leftovers
from vmpooler.store.failover.lease import Lease
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import RedisCommands, Script


def lease_of(store: RedisCommands, name: str = "a", clock: Clock | None = None, **more: Any) -> Lease:
    return Lease(store, clock or Clock(), name, **more)


def epoch(lease: Lease) -> int:
    return int(lease.mark.split()[0])


async def run_out(store: Connection) -> None:
    """Let the lease expire."""
    await store.call("PEXPIRE", keys.LEASE, 1)
    while await store.call("EXISTS", keys.LEASE):
        await deferLater(reactor, 0.01)


async def test_the_first_leads_and_the_second_knows_who_does_and_for_how_long(store: Connection) -> None:
    first, second = lease_of(store, "a"), lease_of(store, "b")
    assert await first.take()
    assert not await second.take()
    assert (first.leading, second.leading) == (True, False)
    assert second.other == first.mark == (await leader_and_leftovers(store))[0] == "1 a"
    assert 0 < second.free_in <= 3


async def test_each_who_leads_has_a_higher_epoch_than_all_before(store: Connection) -> None:
    seen = []
    for name in ("a", "b", "a"):
        lease = lease_of(store, name)
        assert await lease.take()
        seen.append(epoch(lease))
        await lease.drop()
        assert (await leader_and_leftovers(store))[0] == ""
    for name in ("c", "d"):
        lease = lease_of(store, name)
        assert await lease.take()
        seen.append(epoch(lease))
        await run_out(store)
    assert seen == [1, 2, 3, 4, 5]


async def test_redis_ends_a_lease_that_is_not_kept_up(store: Connection) -> None:
    brief = lease_of(store, holds=0.05)
    assert await brief.take()
    other = lease_of(store, "b")
    while not await other.take():
        await deferLater(reactor, 0.01)
    assert not await brief.keep()
    assert (await leader_and_leftovers(store))[0] == other.mark


async def test_a_lease_that_is_kept_up_holds_on(store: Connection) -> None:
    clock = Clock()
    lease = lease_of(store, clock=clock)
    assert await lease.take()
    await store.call("PEXPIRE", keys.LEASE, 1000)
    clock.advance(2)
    assert await lease.keep()
    assert 2500 < await store.call("PTTL", keys.LEASE) <= 3000
    clock.advance(2)
    assert lease.leading
    clock.advance(1)
    assert not lease.leading


async def test_one_that_ran_out_while_nobody_else_wanted_it_goes_on_under_its_epoch(store: Connection) -> None:
    lease = lease_of(store)
    assert await lease.take()
    await run_out(store)
    await lease.fence(lambda: None).call("SET", "x", "1")
    assert await lease.keep()
    assert (await leader_and_leftovers(store))[0] == lease.mark == "1 a"


async def test_it_counts_from_before_redis_was_asked(store: Connection) -> None:
    clock = Clock()

    class SlowRedis(RedisCommands):
        """A Redis that takes two seconds for each reply."""

        async def run(self, script: Script, /, **values: Any) -> Any:
            answer = await store.run(script, **values)
            clock.advance(2)
            return answer

    lease = lease_of(SlowRedis(), clock=clock)
    for ask in (lease.take, lease.keep):
        assert await ask()
        clock.advance(0.9)
        assert lease.leading
        clock.advance(0.1)
        assert not lease.leading


async def test_what_a_process_has_without_knowing_it_can_take_again(store: Connection) -> None:
    lost, again = lease_of(store), lease_of(store)
    assert await lost.take()
    assert await again.take()
    assert epoch(again) == 2
    assert not await lost.keep()


async def test_where_there_can_be_no_other_a_lease_is_one_that_a_dead_process_left(store: Connection) -> None:
    assert await lease_of(store, "dead").take()
    assert not await lease_of(store, "b").take()
    assert await lease_of(store, "b", alone=True).take()


async def test_a_manager_that_dropped_or_lost_it_knows_and_takes_nothing_from_the_next(store: Connection) -> None:
    first, second = lease_of(store, "a"), lease_of(store, "b")
    assert await first.take()
    await first.drop()
    assert not first.leading
    assert not await first.keep()
    assert await second.take()
    await first.drop()
    assert not await first.keep()
    assert (await leader_and_leftovers(store))[0] == second.mark


async def test_a_redis_that_has_lost_its_data_ends_it(store: Connection) -> None:
    lease = lease_of(store)
    assert await lease.take()
    await store.call("FLUSHALL")
    assert not await lease.keep()
    assert not lease.leading
    other = lease_of(store, "b")
    assert await other.take()
    assert epoch(other) == 1, "its name differs from the first"
    assert not await lease.keep()


async def test_a_manager_that_must_be_sure_is_or_knows_that_it_is_over(store: Connection) -> None:
    clock = Clock()
    lease = lease_of(store, clock=clock)
    assert await lease.take()
    await lease.ensure_leading()
    outcomes: list[str] = []

    async def ask() -> None:
        try:
            await lease.ensure_leading()
            outcomes.append("leads")
        except NotLeading:
            outcomes.append("is over")

    clock.advance(3)
    waiting = Deferred.fromCoroutine(ask())
    clock.advance(1)
    assert outcomes == []
    await lease.keep()
    clock.advance(0.1)
    await waiting
    clock.advance(3)
    waiting = Deferred.fromCoroutine(ask())
    await lease.drop()
    clock.advance(0.1)
    await waiting
    assert outcomes == ["leads", "is over"]


async def test_a_lease_that_would_hold_for_longer_than_a_lease_can_is_cut(
    store: Connection, logged: list[LogEvent]
) -> None:
    """This happens when the clock of Redis is set back."""
    first, second = lease_of(store, "a"), lease_of(store, "b")
    assert await first.take()
    await store.call("PEXPIRE", keys.LEASE, 602_084)
    assert not await second.take()
    assert 0 < second.free_in <= 3
    assert 0 < await store.call("PTTL", keys.LEASE) <= 3000
    assert [round(event["seconds"]) for event in logged if "seconds" in event] == [599]
    assert not await second.take()
    assert await first.keep(), "who lives goes on leading"
    assert (await leader_and_leftovers(store))[0] == first.mark
