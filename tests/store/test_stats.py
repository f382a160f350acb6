"""Counts of all pools, and daily sums."""

from collections.abc import Mapping
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.store.contents import NOW, hash_of, make_ready, make_running, queues_of, settings
from vmpooler.domain.model import Queue
from vmpooler.domain.summary import ROUTES, Sum
from vmpooler.domain.times import DAY, day
from vmpooler.store import keys
from vmpooler.store.commands.summaries import SETTLED, Summaries
from vmpooler.store.queries import stats
from vmpooler.store.redis.client import Connection

TODAY = day(NOW)
BEFORE = [day(NOW - number * DAY) for number in (3, 2, 1)]
ALL = [*BEFORE, TODAY]


def summaries(store: Connection, **general: Any) -> Summaries:
    from twisted.internet import reactor

    clock: Any = reactor
    return Summaries(store, settings(**general), clock)


async def clone_sums(store: Connection, now: float = NOW) -> list[Sum]:
    return [found["clone"] for found in await summaries(store).sums(ALL, ["clone"], now)]


async def read(store: Connection) -> int:
    """Return how often Redis has read a whole hash since the last call of this function."""
    info = await store.call("INFO", "commandstats")
    await store.call("CONFIG", "RESETSTAT")
    lines = [line for line in info.splitlines() if line.startswith("cmdstat_hgetall:")]
    return int(lines[0].partition("calls=")[2].partition(",")[0]) if lines else 0


async def test_vms_are_counted_where_they_stand(store: Connection) -> None:
    await make_running(store, "taken", pool="debian")
    await make_ready(store, "a", "b", pool="debian")
    assert await stats.sizes(store, Queue.READY, ["debian", "centos"]) == [2, 0]
    assert await stats.sizes(store, Queue.RUNNING, ["centos", "debian"]) == [0, 1]
    assert await stats.sizes(store, Queue.READY, []) == []


@pytest.mark.parametrize("odd", ["", "many", "-2", "²", "9" * 400])
async def test_odd_figures_count_for_nothing(store: Connection, odd: str) -> None:
    await store.call("SET", keys.TASKS_CLONE, odd)
    await store.call("HSET", keys.clone_times(TODAY), "a:1", odd, "a:2", "5.50")
    counts = await stats.counts(store, [], NOW)
    assert (counts.cloning, counts.clone_seconds) == (0, (5.5,))


async def test_a_day_that_is_over_is_read_once_and_then_known(store: Connection) -> None:
    for number, date in enumerate(ALL):
        await store.call("HSET", keys.clone_times(date), "debian:vm", f"{number}.00")
    await read(store)
    found = await clone_sums(store)
    assert found == [{"debian": [1, float(number), float(number), float(number)]} for number in range(3)] + [
        {"debian": (1, 3.0, 3.0, 3.0)}
    ]
    assert await read(store) == len(BEFORE) + 2
    assert [list(sum) for sum in await clone_sums(store)] == [["debian"]] * 4
    assert await read(store) == 1


async def test_today_is_never_kept_nor_yesterday_shortly_after_midnight(store: Connection) -> None:
    await store.call("HSET", keys.clone_times(TODAY), "debian:vm", "1.00")
    morning = NOW
    while day(morning) == TODAY:
        morning += SETTLED / 3
    await clone_sums(store)
    await clone_sums(store, morning)
    assert await store.call("EXISTS", keys.summary(TODAY)) == 0
    await clone_sums(store, morning + SETTLED)
    assert await store.call("EXISTS", keys.summary(TODAY)) == 1


async def test_what_is_added_to_a_day_late_is_seen(store: Connection) -> None:
    await store.call("HSET", keys.clone_times(BEFORE[0]), "debian:a", "1.00")
    await clone_sums(store)
    await store.call("HSET", keys.clone_times(BEFORE[0]), "debian:b", "3.00")
    assert (await clone_sums(store))[0] == {"debian": [2, 4.0, 1.0, 3.0]}
    await store.call("DEL", keys.clone_times(BEFORE[0]))
    assert (await clone_sums(store))[0] == {}


async def test_each_route_of_a_day_is_kept_by_itself(store: Connection) -> None:
    await store.call("HSET", keys.clone_times(BEFORE[0]), "debian:a", "1.00")
    await store.call("HSET", keys.tag_values(BEFORE[0]), "a:user", "ann")
    await clone_sums(store)
    assert list(await hash_of(store, keys.summary(BEFORE[0]))) == ["clone"]
    found = (await summaries(store).sums(ALL, ROUTES, NOW))[0]
    assert found == {"boot": {}, "clone": {"debian": [1, 1.0, 1.0, 1.0]}, "tag": {"user": {"ann": 1}}}
    assert set(await hash_of(store, keys.summary(BEFORE[0]))) == {"clone", "tag"}


async def test_days_without_anything_leave_no_trace(store: Connection) -> None:
    assert await clone_sums(store) == [{}] * 4
    assert await store.call("DBSIZE") == 0


async def test_clients_at_once_have_a_day_read_but_once(store: Connection) -> None:
    await store.call("HSET", keys.clone_times(BEFORE[0]), "debian:a", "1.00")
    ours = summaries(store)
    await read(store)
    asked = [Deferred.fromCoroutine(ours.sums(ALL, ["clone"], NOW)) for _ in range(5)]
    found: list[list[Mapping[str, Sum]]] = await gatherResults(asked)
    assert found == [found[0]] * 5
    assert await read(store) == 1


async def test_a_client_that_hangs_up_leaves_the_way_free(store: Connection) -> None:
    for date in BEFORE:
        await store.call("HSET", keys.clone_times(date), "debian:vm", "1.00")
    ours = summaries(store)
    first, second = (Deferred.fromCoroutine(ours.sums(ALL, ["clone"], NOW)) for _ in range(2))
    ended: list[Any] = []
    first.addErrback(lambda failure: ended.append(failure.check(CancelledError)))
    await store.call("PING")
    first.cancel()
    assert ended == [CancelledError]
    assert len([sums for sums in await second if sums["clone"]]) == 3


@pytest.mark.parametrize(("days", "seconds"), [(2, 2 * DAY), (0, -1)])
async def test_figures_of_a_day_are_kept_for_as_long_as_the_operator_wants(
    store: Connection, days: int, seconds: int
) -> None:
    queues = queues_of(store, daily_retention=days)
    await queues.begin_clone("debian", "vm", 5, NOW)
    await queues.end_clone("debian", "vm", 10, NOW)
    await queues.promote("debian", "vm", "", 20, NOW)
    await summaries(store, daily_retention=days).sums([TODAY], ["clone"], NOW + DAY + SETTLED)
    for key in (keys.clone_times(TODAY), keys.boot_times(TODAY), keys.summary(TODAY)):
        assert await store.call("TTL", key) == pytest.approx(seconds, abs=2)
