"""TCP probe: makes one TCP connection and closes it."""

from __future__ import annotations

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol

from vmpooler.providers.base import NoAnswer


async def reach(reactor: IReactorTime, host: str, port: int, timeout: float = 5.0) -> None:
    """Return when a TCP connection to ``host`` (a name or an address) and ``port`` has been made; it is closed at once.

    Raises NoAnswer when no connection is made within ``timeout`` seconds, including the resolution of names. Names are
    resolved in the reactor's threads; after the timeout, a resolution that hangs there is not waited for. ``reactor``
    must be the real reactor, because it also connects and resolves names.
    """
    # The attempt reports a cancellation as a failure of its own type, so the caller waits on a separate Deferred.
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
    """Closes the connection as soon as it is made."""

    def connectionMade(self) -> None:
        if self.transport:
            self.transport.loseConnection()


def _endpoint(reactor: IReactorTime, host: str, port: int) -> IStreamClientEndpoint:
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port)
    return HostnameEndpoint(reactor, host, port)
