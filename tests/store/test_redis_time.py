"""The clock that all processes at one Redis share."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from tests.redis_server import RedisServer
from vmpooler.domain.errors import StoreAway
from vmpooler.store.redis.client import ACCURATE, DRIFT, MEASURE_INTERVAL, MEASUREMENTS, Connection, RedisTime
from vmpooler.store.redis.scripts import RedisCommands

EPOCH = 1_700_000_000.0


class FarRedis(RedisCommands):
    """A Redis. Its clock is ``offset`` seconds off; a request takes ``there`` seconds, and a reply ``back`` seconds.

    ``slow``: seconds that the next requests take longer.
    """

    def __init__(self, clock: Clock, offset: float = 0.0) -> None:
        self.offset, self.there, self.back, self.away = offset, 0.0, 0.0, False
        self.slow: list[float] = []
        self.calls = 0
        self._clock = clock

    async def call(self, *command: Any) -> Any:
        assert command == ("TIME",)
        if self.away:
            raise StoreAway("away")
        self.calls += 1
        self._clock.advance(self.there + (self.slow.pop(0) if self.slow else 0.0))
        now = self._clock.seconds() + EPOCH + self.offset
        self._clock.advance(self.back)
        return [int(now), int(now % 1 * 1e6)]


class ClockCase:
    """A Redis, and a process on a host whose clock is ``own`` seconds off."""

    def __init__(self, own: float = 0.0) -> None:
        self.clock, self.own = Clock(), own
        self.redis = FarRedis(self.clock)
        self.time = RedisTime(self.clock, lambda: EPOCH + self.clock.seconds() + self.own)

    def measure(self) -> None:
        done = Deferred.fromCoroutine(self.time.measure(self.redis))
        assert done.called
        done.addErrback(lambda failure: failure.trap(StoreAway))

    @property
    def error(self) -> float:
        return self.time() - (EPOCH + self.clock.seconds() + self.redis.offset)


def test_before_it_was_measured_it_is_the_hosts_own() -> None:
    case = ClockCase(own=100)
    case.clock.advance(5)
    assert case.error == pytest.approx(100)


@given(own=st.floats(-1e5, 1e5), there=st.floats(0, 2), back=st.floats(0, 2))
def test_it_is_exact_to_half_of_the_round_trip_whatever_the_host_says(own: float, there: float, back: float) -> None:
    case = ClockCase(own)
    case.redis.there, case.redis.back = there, back
    case.measure()
    assert abs(case.error) <= (there + back) / 2 + 1e-5
    case.own += 3600
    assert abs(case.error) <= (there + back) / 2 + 1e-5


def test_a_slow_answer_is_not_used_where_a_quick_one_was() -> None:
    case = ClockCase()
    case.measure()
    case.clock.advance(MEASURE_INTERVAL)
    case.redis.back = 2.0
    case.measure()
    assert case.error == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("slow", "calls"), [([], 1), ([2.0], 2), ([2.0, 1.0, 0.2], 4), ([2.0] * 9, MEASUREMENTS)])
def test_a_new_wire_is_measured_until_the_time_is_accurate(slow: list[float], calls: int) -> None:
    case = ClockCase(own=7)
    case.redis.slow = list(slow)
    assert Deferred.fromCoroutine(case.time.settle(case.redis)).called
    assert case.redis.calls == calls
    assert abs(case.error) <= (ACCURATE if len(slow) < MEASUREMENTS else 1.0) + 1e-5


def test_a_wire_to_another_redis_is_measured_until_the_time_is_accurate() -> None:
    case = ClockCase()
    case.measure()
    case.redis.offset, case.redis.slow = 0.9, [2.0]
    assert Deferred.fromCoroutine(case.time.settle(case.redis)).called
    assert case.redis.calls == 3
    assert abs(case.error) <= ACCURATE


def test_what_is_known_loses_its_worth_with_time() -> None:
    case = ClockCase()
    case.measure()
    case.redis.offset = 0.1  # the two clocks have drifted apart
    case.redis.back = 0.02
    case.clock.advance(0.2 / DRIFT)
    case.measure()
    assert abs(case.error) <= 0.01 + 1e-5


@pytest.mark.parametrize("step", [-600.0, 3600.0])
def test_a_clock_that_is_set_is_followed_however_slow_the_answer(step: float, logged: list[LogEvent]) -> None:
    case = ClockCase()
    case.measure()
    case.redis.offset, case.redis.there = step, 1.0
    case.measure()
    assert abs(case.error) <= 0.5 + 1e-5
    assert [event["step"] for event in logged if "step" in event] == [pytest.approx(step, abs=0.6)]


def test_it_measures_on_and_a_redis_that_is_away_changes_nothing() -> None:
    case = ClockCase(own=-50)
    case.time.start(case.redis)
    case.clock.advance(MEASURE_INTERVAL)
    assert case.error == pytest.approx(0, abs=1e-5)
    case.redis.away = True
    case.clock.advance(MEASURE_INTERVAL)
    assert case.error == pytest.approx(0, abs=1e-5)
    case.redis.away, case.redis.offset = False, 7.0
    case.clock.advance(MEASURE_INTERVAL)
    assert case.error == pytest.approx(0, abs=1e-5)
    case.time.stop()
    assert case.clock.getDelayedCalls() == []


async def test_a_wire_is_measured_before_anybody_may_use_it(redis_server: RedisServer) -> None:
    clock: Any = reactor
    wall = RedisTime(clock, lambda: time.time() + 1000)
    assert wall() - time.time() > 900
    connection = Connection(redis_server.settings, reactor, time=wall)
    connection.start()
    await connection.wait_ready(10)
    assert abs(wall() - time.time()) < 1
    await connection.close()
