"""Figures to Graphite: lines of text over one connection, which comes back by itself."""

from collections import deque
from typing import Any

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from vmpooler.settings import Graphite as Settings

WAITING_MOST = 10_000
"""Lines that wait while the server is away; of more, the oldest are dropped: less than a megabyte."""

CONNECT_TIMEOUT = 5.0

GOODBYE = 1.0

FIRST, LONGEST = 1.0, 30.0
"""Seconds before the next try to connect."""


class Graphite:
    """A writer of figures. While the server is away, or takes nothing, they wait."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._reactor = reactor
        self._where = f"{settings.server}:{settings.port}"
        self._waiting: deque[bytes] = deque(maxlen=WAITING_MOST)
        self._wire: _Wire | None = None
        self._away = False
        endpoint = HostnameEndpoint(reactor, settings.server, settings.port, timeout=CONNECT_TIMEOUT)
        factory = Factory.forProtocol(lambda: _Wire(self))
        self._service = ClientService(endpoint, factory, backoffPolicy(FIRST, LONGEST), reactor, self._connected)

    def start(self) -> None:
        """Connect, and go on until stopped."""
        self._service.startService()
        self._service.whenConnected(failAfterFailures=1).addErrback(self._refused)

    def stop(self) -> Deferred[Any]:
        """Send what can be sent within GOODBYE seconds, and hang up."""
        ended = self._service.stopService() or succeed(None)
        goodbye = self._reactor.callLater(GOODBYE, self._abort)
        return ended.addBoth(lambda _: goodbye.cancel() if goodbye.active() else None)

    def write(self, name: str, value: float, when: float) -> None:
        """Send a figure of some moment (epoch), now or when the server takes it."""
        self._waiting.append(f"{name} {value:g} {when:.0f}\n".encode())
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the server takes it."""
        while self._waiting and self._wire is not None and not self._wire.paused:
            self._wire.send(self._waiting.popleft())

    def lost(self, why: str) -> None:
        """The server has hung up."""
        self._wire = None
        self._tell(f"lost the connection: {why}")

    def _abort(self) -> None:
        if self._wire is not None:
            self._wire.transport.abortConnection()

    def _connected(self, protocol: Any) -> None:
        self._wire = protocol
        if self._away:
            self._away = False
            self.log.info("[*] Graphite at {where} takes metrics again", where=self._where)
        self.flush()

    def _refused(self, failure: Failure) -> None:
        self._tell(failure.getErrorMessage())

    def _tell(self, why: str) -> None:
        """Say once that the server is away."""
        if not self._away and self._service.running:
            self._away = True
            self.log.warn("[!] Graphite at {where} is away, metrics wait: {why}", where=self._where, why=why)


@implementer(IPushProducer)
class _Wire(Protocol):
    """The connection; ``paused`` while the server does not take what was sent."""

    transport: Any

    def __init__(self, owner: Graphite) -> None:
        self._owner = owner
        self.paused = False

    def connectionMade(self) -> None:
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)

    def send(self, line: bytes) -> None:
        """Send a line."""
        self.transport.write(line)

    def pauseProducing(self) -> None:
        """The server takes no more for now."""
        self.paused = True

    def resumeProducing(self) -> None:
        """It takes more."""
        self.paused = False
        self._owner.flush()

    def stopProducing(self) -> None:
        """The connection is gone, which connectionLost tells as well."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """It is over."""
        self._owner.lost(reason.getErrorMessage() if reason else "")
