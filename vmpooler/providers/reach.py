"""Does something listen there? One TCP connection, made and closed."""

from __future__ import annotations

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from vmpooler.providers.base import NoAnswer


async def reach(reactor: IReactorTime, host: str, port: int, timeout: float = 5.0) -> None:
    """Return when a TCP connection to ``host`` (a name or an address) and ``port`` was made; it is closed at once.

    Raises NoAnswer when there is none within ``timeout`` seconds, names included: they are resolved in the reactor's
    threads, and one that hangs there is not waited for. ``reactor`` is the real one: it connects and resolves too.
    """
    # The attempt reports a cancellation as some failure of its own, so those who wait do so on a Deferred beside it.
    outcome: Deferred[None] = Deferred()
    attempt = _endpoint(reactor, host, port).connect(Factory.forProtocol(_HangUp))
    attempt.addCallbacks(lambda _: outcome.callback(None), outcome.errback)
    outcome.addTimeout(timeout, reactor)
    try:
        await outcome
    except CancelledError:
        raise
    except TimeoutError as error:
        raise NoAnswer(f"{host} port {port}: no answer within {timeout:g} s") from error
    except Exception as error:
        raise NoAnswer(f"{host} port {port}: {error}") from error
    finally:
        attempt.cancel()


class _HangUp(Protocol):
    """Hangs up as soon as the other side has answered."""

    def connectionMade(self) -> None:
        if self.transport:
            self.transport.loseConnection()


def _endpoint(reactor: IReactorTime, host: str, port: int) -> IStreamClientEndpoint:
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    return HostnameEndpoint(reactor, host, port)
