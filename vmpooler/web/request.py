"""A request as it comes in, how much of it is taken, and its answer.

Note [An answer in one piece]

Twisted sets, checks and joins each header of each answer anew, and cuts each path for its own tree of resources. Here
there is one resource, most answers have the same headers, and ``Request.answer`` writes them with the body at once: ten
of 170 µs that a checkout took.
"""

import re
import select
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any

from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.http import RESPONSES, datetimeToString

from vmpooler.web import text

IGNORED_MOST = 16 << 20
"""Bytes of what was refused that are still read, so that its client gets to see the answer."""

HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL
"""What the kernel says of a connection that the other side has closed, or of which it has closed its half."""

TURNS = 4
"""Turns of the reactor in which it reads what the kernel has of a connection, and closes it if that is its end."""

ABSOLUTE = re.compile(rb"\Ahttps?://[^/?]*/?", re.IGNORECASE)
"""How a target begins that has the host in it, as a proxy is sent it."""


class Request(server.Request):
    """A request whose body stays small, and is nothing but bytes.

    A body beyond ``limits.body_bytes`` is answered with 413 as soon as that shows. ``gone``: the client has hung up.
    ``inside``: it counts among those that are worked on. ``told``: what the log may say of it, which is its route: a
    path may have a token in it.
    """

    channel: Any
    transport: Any
    content: BytesIO
    gone = False
    inside = False
    told = "a request"
    _refused = False
    _received = 0

    @property
    def body(self) -> bytes:
        """What was sent after the headers."""
        return self.content.getvalue()

    @property
    def token(self) -> str | None:
        """The token that came along: any text, also none at all; None without its header."""
        token = self.getHeader(b"x-auth-token")
        return None if token is None else token.decode("utf-8", "surrogateescape")

    def query(self, name: str) -> str | None:
        """What the query says of a name, the last time that it does; None when it does not."""
        values = self.args.get(name.encode())
        return values[-1].decode("utf-8", "replace") if values else None

    def getRequestHostname(self) -> bytes:
        """Always the same: klein binds its routes to this name, and fails on a Host header that is no host's name."""
        return b"localhost"

    def gotLength(self, length: int | None) -> None:
        """The headers are complete; ``length`` is what they say of the body, None for a chunked one."""
        self.content = BytesIO()
        # Clients send JSON under any type; Twisted would take a body for a form, and refuse one that is none.
        self.requestHeaders.removeHeader(b"content-type")
        if length is not None and length > self.channel.site.limits.body_bytes:
            self.requestHeaders.removeHeader(b"expect")
            self._refuse()

    def handleContentChunk(self, data: bytes) -> None:
        """More of the body."""
        most = self.channel.site.limits.body_bytes
        before, self._received = self._received, self._received + len(data)
        if self._received <= most:
            super().handleContentChunk(data)
        elif before <= most and not self._refused:
            self._refuse()
        elif self._received > IGNORED_MOST:
            self.transport.abortConnection()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All is here."""
        if self._refused:
            self.channel.loseConnection()
        else:
            # Twisted has answers of its own for a lone asterisk.
            target = b"/*" if path == b"*" else ABSOLUTE.sub(b"/", path)
            super().requestReceived(command, target, version)

    def process(self) -> None:
        """Have it answered."""
        self.site = self.channel.site
        try:
            self.render(self.site.resource)
        except Exception:
            self.processingFailed(Failure())

    def write(self, data: bytes) -> None:
        """More of an answer whose headers are set."""
        if not self.startedWriting:
            self.setHeader(b"Server", server.version)
            self.setHeader(b"Date", self._date())
        super().write(data)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """All of an answer at once, and its end; ``headers`` as they are sent, beside those that are set."""
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
        """Whether the client has hung up, though the reactor may not have come to notice: the kernel is asked. To be
        awaited before an answer that cannot be taken back."""
        if self.gone:
            return True
        found = self.channel.events()
        if found & HUNG_UP:
            return True
        for _ in range(TURNS if found else 0):
            # What waits to be read may be another request, or the end of a TLS connection.
            await deferLater(self.channel.site.reactor, 0)
            if self.gone:
                return True
        return False

    def connectionLost(self, reason: Failure) -> None:
        """The client has hung up."""
        self.gone = True
        super().connectionLost(reason)

    def _refuse(self) -> None:
        self._refused = True
        most = self.channel.site.limits.body_bytes
        self.channel.write(refusal(413, f"the body is larger than {most} bytes"))


def refusal(status: int, message: str) -> bytes:
    """The answer, as it is sent, to what does not become a request; its connection is to be closed."""
    body = text.of({"ok": False, "message": message})
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", "Connection: close", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in text.HEADERS.items()]
    return "\r\n".join([*head, "", ""]).encode() + body


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    written: bytes = datetimeToString(second)
    return written
