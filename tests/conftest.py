"""What every test can rely on: a time limit, no leaks, no errors that nobody sees, and a real Redis."""

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
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tests.metrics.render import Render
from tests.redis_server import RedisServer
from vmpooler.store.redis.client import Connection

LIMIT = 90.0
"""Seconds that a test may take, unless its mark ``limit`` says otherwise."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """End a test that waits for too long: a Deferred that never fires would hang the whole run."""
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
    """Fail also a test that took its cancellation for an end."""
    raise TimeoutError(f"the test took longer than {seconds:g} s")


@pytest.fixture(scope="session", autouse=True)
def _quick_garbage_collection() -> None:
    """Leave what the imports made out of the collection after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """A test leaves no timer behind."""
    from twisted.internet import reactor

    before = set(reactor.getDelayedCalls())
    yield
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    told = [str(call) for call in left]  # one that is cancelled does not know any more what it would have called
    for call in left:
        call.cancel()
    assert not left, f"timers left behind: {told}"


@pytest.fixture(autouse=True)
def logged_errors() -> Iterator[list[LogEvent]]:
    """A test logs no failure, and no Deferred fails unseen. One that expects failures clears this list."""
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
    """Everything that is logged during the test."""
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
    """The Redis of this run, shared by its tests: do not stop it."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def spare_redis() -> Iterator[RedisServer]:
    """A Redis of the test's own, running, for bad weather."""
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis_socket(redis_server: RedisServer) -> str:
    """The path of its socket."""
    return redis_server.socket


@pytest_twisted.async_yield_fixture
async def store(redis_server: RedisServer) -> AsyncIterator[Connection]:
    """A connection to an empty Redis."""
    from twisted.internet import reactor

    connection = Connection(redis_server.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    await connection.call("FLUSHALL")
    yield connection
    await connection.close()


@pytest_twisted.async_yield_fixture
async def render() -> AsyncIterator[Render]:
    """A server that answers as Graphite's does."""
    server = Render()
    yield server
    await server.end()
