"""Connections of clients: none keeps the service from the others."""

import resource
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource

from vmpooler.web.request import Request

IDLE = 60.0
"""Seconds that a client may take for a whole request, from when it connected or from its last answer."""

MOST = 4000
"""Connections at once beside those of clients who listen to events: each may hold a body."""


def room(listeners: int) -> int:
    """How many connections there may be where so many clients may listen: a quarter of the files that this process may
    open is for work on VMs."""
    return min(MOST + listeners, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)


class Channel(HTTPChannel):
    """One connection."""

    site: "Site"
    transport: Any

    def connectionMade(self) -> None:
        """A client is there."""
        super().connectionMade()
        self._host = self.transport.getHost()
        self.site.entered(self)

    def dataReceived(self, data: bytes) -> None:
        """Some of a request. Twisted's own would give it the time anew with every byte."""
        LineReceiver.dataReceived(self, data)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse a length of thousands of digits, of which Python makes no number."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.loseConnection()
            return False

    def timeoutConnection(self) -> None:
        """The time is up; what was answered may still go out. Twisted's own has the log tell of every client."""
        if self.transport.disconnecting:
            self.transport.abortConnection()
        else:
            self.loseConnection()
            self.setTimeout(IDLE)

    def getHost(self) -> Any:
        """Where it was reached. Twisted asks the system for every request."""
        return self._host

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client has gone."""
        self.site.left(self)
        super().connectionLost(reason)


class Site(server.Site):
    """What a port listens with.

    It writes no access log: the log tells what happened to VMs, and no tokens. Of more than ``most`` connections, the
    oldest that has not sent all of a request is closed.
    """

    noisy = False
    protocol: Any = Channel

    def __init__(self, root: IResource, reactor: Any, most: int = MOST) -> None:
        super().__init__(root, requestFactory=Request, timeout=IDLE, reactor=reactor)
        self._most = most
        self._open: dict[Channel, None] = {}

    def entered(self, channel: Channel) -> None:
        """One more."""
        self._open[channel] = None
        if len(self._open) > self._most:
            waiting = next((each for each in self._open if each.timeOut), channel)
            self.left(waiting)
            waiting.transport.abortConnection()

    def left(self, channel: Channel) -> None:
        """One less."""
        self._open.pop(channel, None)

    def log(self, request: Any) -> None:
        """Nothing."""
