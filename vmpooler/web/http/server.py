"""The HTTP server: connections, their requests, and answers. No connection keeps the service from serving the others.

Note [An answer in one piece]

Twisted sets, checks and joins each header of each answer again, and splits each path for its own tree of resources.
Here only one resource exists, most answers have the same headers, and ``Request.answer`` writes them with the body at
once. This saves 10 of the 170 µs that a checkout took.
"""

import re
import resource
import select
from collections.abc import Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any

from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import RESPONSES, HTTPChannel, datetimeToString
from twisted.web.resource import IResource

from vmpooler.settings import Limits
from vmpooler.web.http import json
from vmpooler.web.http.client_address import ClientAddresses, place
from vmpooler.web.http.json import Json

MAX_IGNORED_BYTES = 16 << 20
"""Bytes of a refused request that are still read, so that its client receives the answer."""

HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""Poll events of a connection that the remote end has closed, fully or for sending only."""

TURNS = 4
"""Turns of the reactor that suffice to read a connection's pending bytes, and to close it if they are its end."""

ABSOLUTE = re.compile(rb"\Ahttps?://[^/?]*/?", re.IGNORECASE)
"""Start of a request target that contains the host, as clients send it to a proxy."""

REFUSAL_SECONDS = 2.0
"""Seconds that a refused client has to read the answer, although it may still be sending."""


class Request(server.Request):
    """A request with a small body, which is kept as plain bytes.

    A body of more than ``limits.body_bytes`` is answered with 413 as soon as its size is known. ``gone``: the client
    has disconnected. ``inside``: the request counts for the limit on concurrent requests. ``route``: what the log may
    contain of the request: a path may contain a token.
    """

    channel: Any
    transport: Any
    content: BytesIO
    gone = False
    inside = False
    route = "a request"
    _refused = False
    _received = 0

    @property
    def body(self) -> bytes:
        """The bytes after the headers."""
        return self.content.getvalue()

    @property
    def token(self) -> str | None:
        """The token that was sent: any text, also an empty one; None without the header."""
        token = self.getHeader(b"x-auth-token")
        return None if token is None else token.decode("utf-8", "surrogateescape")

    def query(self, name: str) -> str | None:
        """Return the last value of a query parameter; None when it is missing."""
        values = self.args.get(name.encode())
        return values[-1].decode("utf-8", "replace") if values else None

    def getRequestHostname(self) -> bytes:
        """Return a constant.

        Klein binds its routes to this name, and fails on a Host header that is not a host name.
        """
        return b"localhost"

    def gotLength(self, length: int | None) -> None:
        """Called after the headers. ``length`` is the length of the body in them, None for a chunked body."""
        self.content = BytesIO()
        # Clients send JSON with any type; Twisted would parse a body as a form, and refuse one that is not a form.
        self.requestHeaders.removeHeader(b"content-type")
        if length is not None and length > self.channel.site.limits.body_bytes:
            self.requestHeaders.removeHeader(b"expect")
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """Receive a part of the body."""
        most = self.channel.site.limits.body_bytes
        before, self._received = self._received, self._received + len(data)
        if self._received <= most:
            super().handleContentChunk(data)
        elif before <= most and not self._refused:
            self._refuse()
        elif self._received > MAX_IGNORED_BYTES:
            self.transport.abortConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called when the request is complete."""
        if self._refused:
            self.channel.loseConnection()
        else:
            # Twisted itself answers a target that is only an asterisk.
            target = b"/*" if path == b"*" else ABSOLUTE.sub(b"/", path)
            super().requestReceived(command, target, version)

    def process(self) -> None:
        """Pass the request to the site's resource."""
        self.site = self.channel.site
        try:
            self.render(self.site.resource)
        except Exception:
            self.processingFailed(Failure())

    def write(self, data: bytes) -> None:
        """Write a part of an answer whose headers are set."""
        if not self.startedWriting:
            self.setHeader(b"Server", server.version)
            self.setHeader(b"Date", self._date())
        super().write(data)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Send a complete answer.

        ``headers`` are bytes as they are sent; headers that are set on the request are sent as well.
        """
        self.startedWriting = 1
        self.code = status
        head = b"%b %d %b\r\nServer: %b\r\nDate: %b\r\n%bContent-Length: %d\r\n"
        known = (self.clientproto, status, RESPONSES[status], server.version, self._date(), headers, len(body))
        more = [b"%b: %b\r\n" % (name, each) for name, all in self.responseHeaders.getAllRawHeaders() for each in all]
        self.channel.writeSequence((head % known, *more, b"\r\n", body))
        self.finish()

    def _date(self) -> bytes:
        return _date(int(self.channel.site.wall()))

    async def hung_up(self) -> bool:
        """Return whether the client has disconnected.

        The kernel is asked, because the reactor may not have noticed it yet. Await this before an answer that cannot be
        undone.
        """
        if self.gone:
            return True
        found = self.channel.poll_events()
        if found & HUNG_UP:
            return True
        for _ in range(TURNS if found else 0):
            # The pending bytes may be another request, or the end of a TLS connection.
            await deferLater(self.channel.site.reactor, 0)
            if self.gone:
                return True
        return False

    def connectionLost(self, reason: Failure) -> None:
        """Record that the client has disconnected."""
        self.gone = True
        super().connectionLost(reason)

    def _refuse(self) -> None:
        self._refused = True
        most = self.channel.site.limits.body_bytes
        self.channel.write(refusal(413, f"the body is larger than {most} bytes"))


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


def room(connections: int, subscribers: int) -> int:
    """Return how many connections may be open: the sum of both limits, if enough files may be opened.

    Connections get at most three quarters of the files that this process may open. The last quarter is for work on VMs.
    """
    return min(connections + subscribers, resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4)


def json_response(request: Request, status: int, reply: Json | bytes) -> bytes:
    """Set the status and headers of a reply, and return it as bytes."""
    return sent(request, status, reply if isinstance(reply, bytes) else json.of(reply), json.HEADERS)


def sent(request: Request, status: int, body: bytes, headers: Mapping[str, str]) -> bytes:
    """Set the status and headers of a body, and return it."""
    request.setResponseCode(status)
    for name, value in headers.items():
        request.setHeader(name, value)
    request.setHeader("Content-Length", str(len(body)))
    return body


def refusal(status: int, message: str) -> bytes:
    """Return the complete answer to input that does not become a request. The caller closes the connection."""
    body = json.of({"ok": False, "message": message})
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in json.HEADERS.items()]
    return "\r\n".join([*head, "", ""]).encode() + body


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    written: bytes = datetimeToString(second)
    return written
