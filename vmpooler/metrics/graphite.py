"""Sends metrics to Graphite: lines of text over one connection, which is reopened when it is lost."""

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

from vmpooler.metrics.registry import Metric
from vmpooler.settings import Graphite as Settings

MAX_QUEUED = 10_000
"""The most queued lines while the server is away, less than a megabyte; the oldest are dropped first."""

CONNECT_TIMEOUT = 5.0

STOP_TIMEOUT = 1.0
"""Seconds in which queued lines can still be sent at the end."""

RETRY_FIRST, RETRY_MOST = 1.0, 30.0
"""The shortest and the longest wait in seconds before the next try to connect."""


class GraphiteClient:
    """A sink of metrics. They are queued while the server is away or does not accept data."""

    log = Logger()

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._reactor = reactor
        self._where = f"{settings.server}:{settings.port}"
        self._prefix = settings.prefix
        self._queued: deque[bytes] = deque(maxlen=MAX_QUEUED)
        self._wire: _Wire | None = None
        self._away = False
        endpoint = HostnameEndpoint(reactor, settings.server, settings.port, timeout=CONNECT_TIMEOUT)
        factory = Factory.forProtocol(lambda: _Wire(self))
        self._service = ClientService(
            endpoint, factory, backoffPolicy(RETRY_FIRST, RETRY_MOST), reactor, self._connected
        )

    def start(self) -> None:
        """Connect, and reconnect until stopped."""
        self._service.startService()
        self._service.whenConnected(failAfterFailures=1).addErrback(self._refused)

    def stop(self) -> Deferred[Any]:
        """Send what can be sent within STOP_TIMEOUT seconds, and close the connection."""
        ended = self._service.stopService() or succeed(None)
        timeout = self._reactor.callLater(STOP_TIMEOUT, self._abort)
        return ended.addBoth(lambda _: timeout.cancel() if timeout.active() else None)

    def send(self, metric: Metric, pool: str, value: float, when: float) -> None:
        """Send the value of a metric at ``when`` (epoch), now or when the server accepts data.

        All kinds of metrics look alike: Graphite itself sums them up.
        """
        self._queued.append(f"{self._prefix}.{metric.name}.{pool} {value:g} {when:.0f}\n".encode())
        self.flush()

    def flush(self) -> None:
        """Send queued lines while the server accepts data."""
        while self._queued and self._wire is not None and not self._wire.paused:
            self._wire.send(self._queued.popleft())

    def lost(self, why: str) -> None:
        """Handle the loss of the connection."""
        self._wire = None
        self._log_away(f"lost the connection: {why}")

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
        self._log_away(failure.getErrorMessage())

    def _log_away(self, why: str) -> None:
        """Log once that the server is away."""
        if not self._away and self._service.running:
            self._away = True
            self.log.warn("[!] Graphite at {where} is away, metrics wait: {why}", where=self._where, why=why)


@implementer(IPushProducer)
class _Wire(Protocol):
    """The connection; ``paused`` while the server does not accept data."""

    transport: Any

    def __init__(self, owner: GraphiteClient) -> None:
        self._owner = owner
        self.paused = False

    def connectionMade(self) -> None:
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)

    def send(self, line: bytes) -> None:
        """Write a line to the connection."""
        self.transport.write(line)

    def pauseProducing(self) -> None:
        """Stop sending: the server accepts no more data for now."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Send queued lines: the server accepts data again."""
        self.paused = False
        self._owner.flush()

    def stopProducing(self) -> None:
        """Do nothing: connectionLost is called as well."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Report the loss to the owner."""
        self._owner.lost(reason.getErrorMessage() if reason else "")
