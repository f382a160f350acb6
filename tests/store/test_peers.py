"""Processes at one Redis with different pools: a difference is logged once, and no longer reported when they agree."""

import attrs
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.failover.peers import REPORT_TIMEOUT, Peers
from vmpooler.store.redis.client import Connection

A, B, C = (Pool(name=name, size=1) for name in "abc")


def peers(store: Connection, who: str, *pools: Pool) -> Peers:
    return Peers(store, pools, who, Clock())


async def test_a_difference_is_said_once_until_the_processes_agree(store: Connection) -> None:
    with capturedLogs() as messages:
        one, two, three = peers(store, "one", A, B), peers(store, "two", A, C), peers(store, "three", B, A)
        for _ in range(3):
            for each in (one, two, three):
                await each.compare()
        assert one.state() == {"other_pools": {"two": "also c; not b"}}
        assert two.state() == {"other_pools": {"one": "also b; not c", "three": "also b; not c"}}
        text = "{who}: configured with other pools than here: {difference}"
        said = [(each["who"], each["difference"]) for each in messages if text in str(each.get("log_format"))]
        assert said.count(("two", "also c; not b")) == 2, "one and three say it"
        two = peers(store, "two", B, A)
        for each in (two, one, three):
            await each.compare()
        assert [each.state() for each in (one, two, three)] == [{}, {}, {}]
        assert sum("the same pools again" in str(each.get("log_format")) for each in messages) == 2


async def test_other_settings_of_the_same_pools_are_a_difference(store: Connection) -> None:
    one, two = peers(store, "one", A), peers(store, "two", attrs.evolve(A, size=2))
    for each in (one, two, one):
        await each.compare()
    assert one.state() == {"other_pools": {"two": "the same pools with other settings"}}


async def test_one_that_is_silent_or_says_nonsense_is_left_out(store: Connection) -> None:
    seconds = int((await store.call("TIME"))[0])
    for who, text in {
        "old": f'{seconds - REPORT_TIMEOUT - 2} {{"pools": ["b"], "digest": "x"}}',
        "ahead": f'{seconds + REPORT_TIMEOUT + 9} {{"pools": ["b"], "digest": "x"}}',
        "broken": "nonsense",
        "newer": f'{seconds} {{"pools": 3}}',
    }.items():
        await store.call("HSET", keys.CONFIGURED, who, text)
    one = peers(store, "one", A)
    await one.compare()
    assert one.state() == {}
    assert {*await store.call("HKEYS", keys.CONFIGURED)} == {"one", "newer"}


async def test_one_that_ends_in_order_is_forgotten_at_once(store: Connection) -> None:
    one = peers(store, "one", A)
    one.start()
    await one.compare()
    await one.leave()
    assert await store.call("HKEYS", keys.CONFIGURED) == []
