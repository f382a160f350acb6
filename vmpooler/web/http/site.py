"""Client connections. No connection keeps the service from serving the others."""

import resource
import select
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource

from vmpooler.settings import Limits
from vmpooler.web.http.client_address import ClientAddresses, place
from vmpooler.web.http.request import HUNG_UP, MAX_IGNORED_BYTES, Request, refusal

REFUSAL_SECONDS = 2.0
"""Seconds that a refused client has to read the answer, although it may still be sending."""


def room(connections: int, listeners: int) -> int:
    """Return how many connections may be open: the sum of both limits, if enough files may be opened.

    Connections get at most three quarters of the files that this process may open. The last quarter is for work on VMs.
    """
    return min(connections + listeners, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)


class Channel(HTTPChannel):
    """One connection. ``origin`` is the client address that it counts for; empty where no limit per address applies.

    Three private names of Twisted, seen in 24.11 and 26.10, are used here and nowhere else: Twisted has no other hook
    for the answer to a malformed request (``_respondToBadRequestAndDisconnect``), and the reason is in two counters
    (``_receivedHeaderSize``, ``_receivedHeaderCount``).
    """

    site: "Site"
    transport: Any
    origin = ""
    _refused = False
    _ignored = 0
    _poll: "select.poll | None" = None

    def connectionMade(self) -> None:
        """Set the limits of a new connection, and register it."""
        limits = self.site.limits
        self.maxHeaders = limits.headers
        self.totalHeadersSize = self.MAX_LENGTH = limits.header_bytes
        super().connectionMade()
        self._host = self.transport.getHost()
        self.site.entered(self)

    def poll_events(self) -> int:
        """Return the kernel's poll events for the open connection.

        The result is 0 when nothing can be read, and for a connection that has no socket.
        """
        if self._poll is None:
            transport = self.transport
            while transport is not None and not hasattr(transport, "fileno"):
                transport = getattr(transport, "transport", None)  # under TLS, the socket is further inside
            self._poll = select.poll()
            if transport is not None:
                self._poll.register(transport.fileno(), select.POLLIN | HUNG_UP)
        found = self._poll.poll(0)
        return found[0][1] if found else 0

    def dataReceived(self, data: bytes) -> None:
        """Receive bytes of a request.

        Twisted's own method would restart the timeout with every byte. After a refusal the bytes are ignored, and more
        than ``MAX_IGNORED_BYTES`` of them abort the connection.
        """
        if not self._refused:
            LineReceiver.dataReceived(self, data)
            return
        self._ignored += len(data)
        if self._ignored > MAX_IGNORED_BYTES:
            self.transport.abortConnection()

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a Content-Length of thousands of digits, which Python does not convert to a number."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._refuse(400, "the length of the body is no number")
            return False

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a single line that is too long."""
        self._refuse_length()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Send the error as JSON.

        Twisted calls this method for every malformed request, and would send 400 without a body.
        """
        if self._receivedHeaderSize > self.totalHeadersSize:
            self._refuse_length()
        elif self._receivedHeaderCount > self.maxHeaders:
            self._refuse(431, f"there are more than {self.maxHeaders} headers")
        else:
            self._refuse(400, "this is not HTTP/1.1")

    def _refuse_length(self) -> None:
        status, what = (431, "headers are") if self.requests else (414, "address is")
        self._refuse(status, f"the {what} longer than {self.totalHeadersSize} bytes")

    def _refuse(self, status: int, message: str) -> None:
        """Answer input that does not become a request, and ignore the rest of it."""
        self._refused = True
        self.clearLineBuffer()
        self.transport.write(refusal(status, message))
        self.setTimeout(REFUSAL_SECONDS)

    def timeoutConnection(self) -> None:
        """Close a connection that timed out; an answer may still be sent.

        Twisted's own method logs every such client.
        """
        if self.transport.disconnecting:
            self.transport.abortConnection()
        else:
            self.loseConnection()
            self.setTimeout(self.site.timeOut)

    def getHost(self) -> Any:
        """Return the local address. It is cached, because Twisted asks the system for it on every request."""
        return self._host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Unregister the connection."""
        self.site.left(self)
        super().connectionLost(reason)


Crowd = dict[Channel, None]
"""Connections, the oldest first."""


class Site(server.Site):
    """The factory for a port's connections.

    It writes no access log: the log records what happens to VMs, and contains no tokens. When more than ``most``
    connections are open, or more than one address may have, the oldest connection that has not sent a complete request
    is closed; if all have, the new one is closed. ``wall`` returns the time (epoch) for the Date header of answers.
    """

    noisy = False
    protocol: Any = Channel

    def __init__(
        self, root: IResource, reactor: Any, wall: Callable[[], float], limits: Limits, most: int | None = None
    ) -> None:
        super().__init__(root, requestFactory=Request, timeout=limits.request_time, reactor=reactor)
        self.wall = wall
        self.limits = limits
        self._most = limits.connections if most is None else most
        self._each = limits.connections_per_address
        self._origins = ClientAddresses(limits.trusted_proxies)
        self._open: Crowd = {}
        self._near: dict[str, Crowd] = {}

    def entered(self, channel: Channel) -> None:
        """Register a connection, and close one if a limit is exceeded."""
        self._open[channel] = None
        peer = self._origins.host(channel.transport.getPeer()) if self._each else ""
        if peer and not self._origins.trusts(peer):
            channel.origin = place(peer)
            near = self._near.setdefault(channel.origin, {})
            near[channel] = None
            self._bound(near, self._each, channel)
        self._bound(self._open, self._most, channel)

    def left(self, channel: Channel) -> None:
        """Unregister a connection."""
        self._open.pop(channel, None)
        if near := self._near.get(channel.origin):
            near.pop(channel, None)
            if not near:
                del self._near[channel.origin]

    def _bound(self, crowd: Crowd, most: int, latest: Channel) -> None:
        if len(crowd) > most:
            waiting = next((each for each in crowd if each.timeOut), latest)
            self.left(waiting)
            waiting.transport.abortConnection()

    def log(self, request: Any) -> None:
        """Write no access log."""
