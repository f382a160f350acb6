"""Replies that are held back until Redis has written the changes to its file."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.redis_server import RedisServer
from vmpooler.domain.errors import StoreAway
from vmpooler.store.redis.endpoint import endpoint_of
from vmpooler.store.redis.protocol import Wire, Wires

clock: Any = reactor


@pytest_twisted.async_yield_fixture
async def wires(spare_redis: RedisServer) -> AsyncIterator[list[Wire]]:
    """Two wires that are ready."""
    made = Wires(spare_redis.settings, 2, 5.0, clock, lambda why: None)
    made.connect(endpoint_of(spare_redis.settings, reactor))
    while len(made.ready()) < 2:
        await deferLater(clock, 0.01)
    yield made.ready()
    await made.close()


async def pings(wire: Wire) -> int:
    found = re.search(r"cmdstat_ping:calls=(\d+)", await wire.execute_command("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def test_one_question_serves_all_answers_of_all_wires_that_have_come(wires: list[Wire]) -> None:
    before = await pings(wires[0])
    counts = await gatherResults([wires[number % 2].execute_lasting("INCR", "n") for number in range(100)])
    assert sorted(counts) == [*range(1, 101)]
    assert 1 <= await pings(wires[0]) - before <= 10


async def uncertain(answer: Deferred[object]) -> StoreAway:
    with pytest.raises(StoreAway) as error:
        await answer
    return error.value


async def test_an_answer_whose_wire_ends_is_uncertain_and_the_others_are_given(wires: list[Wire]) -> None:
    lost, kept = Deferred[object](), Deferred[object]()
    held_back = wires[0].factory.held_back
    held_back.add(wires[0], lost, 1)
    held_back.add(wires[1], kept, 2)
    wires[0].cut("it is over")
    held_back.ask()
    assert (await uncertain(lost)).sent
    assert await kept == 2


async def test_a_reply_that_arrives_after_the_ping_was_sent_waits_for_the_next(wires: list[Wire]) -> None:
    first, late = Deferred[object](), Deferred[object]()
    held_back, before = wires[0].factory.held_back, await pings(wires[0])
    held_back.add(wires[0], first, 1)
    held_back.ask()
    held_back.add(wires[1], late, 2)
    assert [await first, await late] == [1, 2]
    assert await pings(wires[0]) - before == 2


async def test_answers_are_uncertain_when_the_wire_ends_on_which_was_asked(wires: list[Wire]) -> None:
    asked, other, late = Deferred[object](), Deferred[object](), Deferred[object]()
    held_back = wires[0].factory.held_back
    await wires[0].execute_command("CLIENT", "PAUSE", 10_000)
    held_back.add(wires[0], asked, 1)
    held_back.add(wires[1], other, 2)
    held_back.ask()
    await deferLater(clock, 0.05)
    held_back.add(wires[1], late, 3)
    wires[0].cut("it is over")
    assert [each.called for each in (asked, other, late)] == [True, True, True]
    assert [(await uncertain(each)).sent for each in (asked, other, late)] == [True, True, True]
