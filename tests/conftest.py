"""Fixtures and hooks for all tests: a time limit, checks for leaked timers and unseen errors, and a real Redis."""

from __future__ import annotations

import functools
import gc
import inspect
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tests.metrics.render import Render
from tests.redis_server import RedisServer
from vmpooler.store.redis.client import Connection

LIMIT = 90.0
"""Seconds that a test may take, unless its marker ``limit`` sets another number."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Fail a test that waits too long: a Deferred that never fires would block the whole run."""
    test = pyfuncitem.obj
    if hasattr(test, "hypothesis"):
        return
    mark = pyfuncitem.get_closest_marker("limit")
    limit = mark.args[0] if mark else LIMIT

    @functools.wraps(test)
    def timed(*args: Any, **kwargs: Any) -> Any:
        from twisted.internet import reactor

        result = test(*args, **kwargs)
        if inspect.iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        return result.addTimeout(limit, reactor, _too_late) if isinstance(result, Deferred) else result

    pyfuncitem.obj = timed


def _too_late(_: object, seconds: float) -> None:
    """Raise TimeoutError, even if the test handled its cancellation and returned."""
    raise TimeoutError(f"the test took longer than {seconds:g} s")


@pytest.fixture(scope="session", autouse=True)
def _quick_garbage_collection() -> None:
    """Exclude the objects that imports created from the garbage collection after each test, to make it faster."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves a timer behind.

    Calls that are due already may still run: when Twisted stops a connection attempt in the reactor turn in which the
    attempt started, its call for the next turn remains.
    """
    from twisted.internet import reactor

    def timers() -> list[IDelayedCall]:
        return [call for call in reactor.getDelayedCalls() if call not in before]

    before = set(reactor.getDelayedCalls())
    yield
    if any(call.getTime() <= reactor.seconds() for call in timers()):
        pytest_twisted.blockon(deferLater(reactor, 0))
    left = timers()
    described = [str(call) for call in left]  # before cancel(), which drops the name of the function
    for call in left:
        call.cancel()
    assert not left, f"timers left behind: {described}"


@pytest.fixture(autouse=True)
def logged_errors() -> Iterator[list[LogEvent]]:
    """Fail a test that logs a failure, or leaves a failed Deferred unhandled.

    A test that expects failures clears this list.
    """
    seen: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_failure") is not None or event.get("isError"):
            seen.append(event)

    with _observed_by(observe):
        yield seen
        gc.collect()
    assert not seen, "\n".join(f"{formatEvent(event)}\n{event.get('log_failure', '')}" for event in seen)


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """All events that are logged during the test."""
    events: list[LogEvent] = []
    with _observed_by(events.append):
        yield events


@contextmanager
def _observed_by(observer: Any) -> Iterator[None]:
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The Redis that all tests of this run share. No test may stop it."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def spare_redis() -> Iterator[RedisServer]:
    """A running Redis for one test, which may stop or kill it."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_socket(redis_server: RedisServer) -> str:
    """The path of the shared Redis's socket."""
    return redis_server.socket


@pytest_twisted.async_yield_fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Connection]:
    """A connection to the shared Redis, which is emptied first."""
    from twisted.internet import reactor

    connection = Connection(redis_server.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    await connection.call("FLUSHALL")
    yield connection
    await connection.close()


@pytest_twisted.async_yield_fixture
async def render() -> AsyncIterator[Render]:
    """A server that answers as the render API of Graphite does."""
    server = Render()
    yield server
    await server.end()
