"""No error ends a loop, and work that does not end is given up."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from vmpooler.domain.backoff import BUSY_INTERVAL
from vmpooler.domain.errors import StoreAway
from vmpooler.manager.loop import OPERATION_TIMEOUT, STORE_AWAY, Loop, OperationsInFlight


@pytest.mark.parametrize(
    ("error", "pause"), [(StoreAway("gone"), STORE_AWAY), (RuntimeError("a defect"), BUSY_INTERVAL)]
)
async def test_a_round_that_fails_is_not_the_last(
    error: Exception, pause: float, logged_errors: list[LogEvent]
) -> None:
    clock, rounds = Clock(), []

    async def round() -> float:
        rounds.append(clock.seconds())
        if len(rounds) < 3:
            raise error
        return 10

    loop = Loop("debian", round, clock)
    loop.start()
    clock.pump([pause / 2] * 4 + [10])
    assert rounds == [0, pause, 2 * pause, 2 * pause + 10]
    await loop.stop()
    logged_errors.clear()


async def test_work_that_never_ends_is_given_up(logged: list[LogEvent]) -> None:
    clock, ended = Clock(), []
    tasks = OperationsInFlight("debian", clock, lambda: ended.append(clock.seconds()))
    tasks.start("vm", _for_ever())
    clock.advance(OPERATION_TIMEOUT - 1)
    assert tasks.busy() == {"vm"}
    clock.advance(1)
    assert tasks.busy() == set()
    assert ended == [OPERATION_TIMEOUT]
    assert any(event.get("vm") == "vm" for event in logged)


async def _for_ever() -> None:
    await Deferred()


async def test_work_that_redis_refused_is_not_tried_again_at_once() -> None:
    clock, ended = Clock(), []
    tasks = OperationsInFlight("debian", clock, lambda: ended.append(clock.seconds()))
    tasks.start("vm", _refused())
    assert tasks.busy() == {"vm"}
    clock.advance(STORE_AWAY)
    assert ended == [STORE_AWAY]
    tasks.start("vm", _refused())
    tasks.give_up()
    assert ended == [STORE_AWAY, STORE_AWAY], "nothing waits when the term is over"
    assert clock.getDelayedCalls() == []


async def _refused() -> None:
    raise StoreAway("Redis is away: MISCONF")
