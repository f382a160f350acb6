"""The TCP probe, on real sockets."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any, cast

import pytest
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHostnameResolver, IHostResolution
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from vmpooler.providers.base import NoAnswer
from vmpooler.providers.dummy import Dummy, DummyProvider
from vmpooler.providers.reach import reach
from vmpooler.settings import Pool

reactor = cast(Any, the_reactor)


@pytest.fixture(autouse=True)
def no_connection_is_left() -> Iterator[None]:
    before = set(reactor.getWriters())
    yield
    assert set(reactor.getWriters()) <= before


@pytest.fixture
def blackhole() -> Iterator[tuple[str, int]]:
    """An address where connections are neither accepted nor refused: the backlog is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(closing(socket.socket()))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.fixture
def closed_port() -> int:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


class Mute(Protocol):
    """Accepts a connection and never sends. ``ended`` receives the class of the reason when the connection is lost."""

    def __init__(self, ended: Deferred[type[BaseException] | None]) -> None:
        self._ended = ended

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._ended.callback(reason.type)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_listener_that_never_speaks_is_reached_and_the_connection_closed_cleanly(host: str) -> None:
    ended: Deferred[type[BaseException] | None] = Deferred()
    factory = Factory.forProtocol(lambda: Mute(ended))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        await reach(reactor, host, port.getHost().port)
        assert await ended is ConnectionDone
    finally:
        await port.stopListening()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_closed_port_is_no_answer(host: str, closed_port: int) -> None:
    with pytest.raises(NoAnswer, match=f"{host} port {closed_port}: .*refused"):
        await reach(reactor, host, closed_port)


@pytest.mark.parametrize("host", ["", "no such host", f"{'x' * 70}.example", f"{'a.' * 200}example", "ab..example"])
async def test_a_name_that_does_not_resolve_is_no_answer(host: str) -> None:
    with pytest.raises(NoAnswer, match="port 22: "):
        await reach(reactor, host, 22)


async def test_silence_is_no_answer_when_the_time_is_over(blackhole: tuple[str, int]) -> None:
    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"no answer within 0\.2 s"):
        await reach(reactor, *blackhole, timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 1


async def test_a_caller_who_gives_up_leaves_no_connection_behind(blackhole: tuple[str, int]) -> None:
    probe = ensureDeferred(reach(reactor, *blackhole))
    await deferLater(reactor, 0.05)
    assert reactor.getWriters()
    probe.cancel()
    with pytest.raises(CancelledError):
        await probe


@implementer(IHostnameResolver)
class DeafResolver:
    """A resolver that never answers."""

    def resolveHostName(self, resolutionReceiver: Any, *args: Any, **kwargs: Any) -> IHostResolution:
        self.receiver = resolutionReceiver
        return cast(IHostResolution, None)


@pytest.fixture
def deaf_resolver() -> Iterator[DeafResolver]:
    deaf = DeafResolver()
    usual = reactor.installNameResolver(deaf)
    yield deaf
    reactor.installNameResolver(usual)


async def test_a_resolver_that_hangs_is_not_waited_for(deaf_resolver: DeafResolver) -> None:
    with pytest.raises(NoAnswer, match=r"slow\.example port 22: no answer within 0\.1 s"):
        await reach(reactor, "slow.example", 22, timeout=0.1)
    deaf_resolver.receiver.resolutionComplete()  # a late answer raises no error


async def test_a_caller_who_gives_up_while_the_resolver_hangs_is_let_go(deaf_resolver: DeafResolver) -> None:
    probe = ensureDeferred(reach(reactor, "slow.example", 22))
    probe.cancel()
    with pytest.raises(CancelledError):
        await probe


async def test_the_dummy_probes_its_guests_addresses_for_real_when_configured() -> None:
    dummy = DummyProvider(Dummy(tcp_probe=True), reactor, reactor.seconds, random.Random(1), reactor)
    await dummy.start()
    port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.1.0.2")
    pool = Pool(name="alpha", size=1, probe_port=port.getHost().port)
    for name in ("one", "two"):
        await dummy.clone(pool, name)
    guests = await dummy.inventory(pool)
    try:
        await dummy.probe(pool, guests["one"])
        with pytest.raises(NoAnswer, match=r"127\.1\.0\.3 port \d+: .*refused"):
            await dummy.probe(pool, guests["two"])
    finally:
        await port.stopListening()
        await dummy.stop()
