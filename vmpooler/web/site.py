"""Connections of clients: none keeps the service from the others."""

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
from vmpooler.web.origin import Origins, place
from vmpooler.web.request import HUNG_UP, IGNORED_MOST, Request, refusal

LINGER = 2.0
"""Seconds in which a client that was refused may take the answer, though it still sends."""


def room(connections: int, listeners: int) -> int:
    """How many connections there may be where so many clients may listen beside others: a quarter of the files that
    this process may open is for work on VMs."""
    return min(connections + listeners, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)


class Channel(HTTPChannel):
    """One connection; ``origin`` is whose, where that matters."""

    site: "Site"
    transport: Any
    origin = ""
    _refused = False
    _ignored = 0
    _poll: "select.poll | None" = None

    def connectionMade(self) -> None:
        """A client is there."""
        limits = self.site.limits
        self.maxHeaders = limits.headers
        self.totalHeadersSize = self.MAX_LENGTH = limits.header_bytes
        super().connectionMade()
        self._host = self.transport.getHost()
        self.site.entered(self)

    def events(self) -> int:
        """What the kernel says of the connection, which is open: 0 when there is nothing to read, and for one that has
        no socket."""
        if self._poll is None:
            transport = self.transport
            while transport is not None and not hasattr(transport, "fileno"):
                transport = getattr(transport, "transport", None)  # TLS stands before the socket
            self._poll = select.poll()
            if transport is not None:
                self._poll.register(transport.fileno(), select.POLLIN | HUNG_UP)
        found = self._poll.poll(0)
        return found[0][1] if found else 0

    def dataReceived(self, data: bytes) -> None:
        """Some of a request. Twisted's own would give it the time anew with every byte."""
        if not self._refused:
            LineReceiver.dataReceived(self, data)
            return
        self._ignored += len(data)
        if self._ignored > IGNORED_MOST:
            self.transport.abortConnection()

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a length of thousands of digits, of which Python makes no number."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._refuse(400, "the length of the body is no number")
            return False

    def lineLengthExceeded(self, line: bytes) -> None:
        """One line alone is too long."""
        self._refuse_length()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Say in JSON what is wrong. Twisted comes here with all that is, and says 400 without a word."""
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
        """Answer what does not become a request, and take no more of it."""
        self._refused = True
        self.clearLineBuffer()
        self.transport.write(refusal(status, message))
        self.setTimeout(LINGER)

    def timeoutConnection(self) -> None:
        """The time is up; what was answered may still go out. Twisted's own has the log tell of every client."""
        if self.transport.disconnecting:
            self.transport.abortConnection()
        else:
            self.loseConnection()
            self.setTimeout(self.site.timeOut)

    def getHost(self) -> Any:
        """Where it was reached. Twisted asks the system for every request."""
        return self._host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone."""
        self.site.left(self)
        super().connectionLost(reason)


Crowd = dict[Channel, None]
"""Connections, the oldest first."""


class Site(server.Site):
    """What a port listens with.

    It writes no access log: the log tells what happened to VMs, and no tokens. Of more than ``most`` connections, or
    more of one address than it may have, the oldest that has not sent all of a request is closed. ``wall`` is the
    moment (epoch) that answers say they are of.
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
        self._origins = Origins(limits.trusted_proxies)
        self._open: Crowd = {}
        self._near: dict[str, Crowd] = {}

    def entered(self, channel: Channel) -> None:
        """One more."""
        self._open[channel] = None
        peer = self._origins.host(channel.transport.getPeer()) if self._each else ""
        if peer and not self._origins.trusts(peer):
            channel.origin = place(peer)
            near = self._near.setdefault(channel.origin, {})
            near[channel] = None
            self._bound(near, self._each, channel)
        self._bound(self._open, self._most, channel)

    def left(self, channel: Channel) -> None:
        """One less."""
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
        """Nothing."""
