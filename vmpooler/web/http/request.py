"""A request: its body, the limit on its size, and its answer.

Note [An answer in one piece]

Twisted sets, checks and joins each header of each answer again, and splits each path for its own tree of resources.
Here only one resource exists, most answers have the same headers, and ``Request.answer`` writes them with the body at
once. This saves 10 of the 170 µs that a checkout took.
"""

import re
import select
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any

from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import RESPONSES, datetimeToString

from vmpooler.web.http import json
from vmpooler.web.http.json import Json

MAX_IGNORED_BYTES = 16 << 20
"""Bytes of a refused request that are still read, so that its client receives the answer."""

HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""Poll events of a connection that the remote end has closed, fully or for sending only."""

TURNS = 4
"""Turns of the reactor that suffice to read a connection's pending bytes, and to close it if they are its end."""

ABSOLUTE = re.compile(rb"\Ahttps?://[^/?]*/?", re.IGNORECASE)
"""Start of a request target that contains the host, as clients send it to a proxy."""


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
