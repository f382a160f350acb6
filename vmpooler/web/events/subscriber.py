"""A client that is subscribed to events, and that reads at its own pace.

Note [Straight to the socket]

Twisted writes through a list, another turn of the reactor and three system calls: watch the socket until it accepts
data, send, stop watching. So an event cost 20 µs for each of thousands of subscribers. An event costs 9 µs, 5 of them
in the kernel, because its bytes are now sent at once. Bytes that the kernel does not accept, and bytes whose sending
fails, are left to Twisted. To keep the bytes in order, Twisted must hold none when bytes are sent directly:
``bufferSize`` 0 makes Twisted pause the subscriber as soon as it holds a byte, and resume it when all are sent.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http_headers import Headers
from zope.interface import implementer

from vmpooler.deferreds import Signal
from vmpooler.web.events.log import Filter
from vmpooler.web.http.server import Request

SEND_BUFFER = 1 << 17
"""Bytes that the kernel buffers for a client.

Its default is megabytes: a client that reads nothing would fill them, and would seem healthy for minutes.
"""


VANISHED = 60_000
"""Milliseconds after which the kernel drops a client that acknowledges nothing, such as a closed laptop."""


NO_HEADERS = Headers()
"""Replaces headers that have been read or sent: they are 2 of the 9 KiB that a subscriber costs."""

RETRY = b"retry: 2000\n\n"
"""Sent first, so that the headers are sent at once. The value is the milliseconds after which a client reconnects."""

COMMENT = b":\n\n"


@implementer(IPushProducer)
class Subscriber:
    """A client that gets the events that are ``wanted``, from ``place`` on; None until the position is known.

    ``owed``: the client is to get the state, after the events in the log. ``gap``: that state is to report that events
    were missed. ``warned``: the client got the reason why it gets no state. The hub keeps these.

    The client is disconnected when it reads nothing for ``stall`` seconds. ``on_resume`` is called when it reads again,
    and ``on_end`` when it has disconnected.
    """

    def __init__(
        self,
        request: Request,
        wanted: Filter,
        clock: IReactorTime,
        stall: float,
        on_resume: "OnSubscriber",
        on_end: "OnSubscriber",
    ) -> None:
        self.wanted = wanted
        self.place: int | None = None
        self.owed = True
        self.gap = False
        self.warned = False
        self._request = request
        self._channel: Any = request.channel
        self._socket: socket.socket | None = None
        self._clock = clock
        self._stall = stall
        self._paused = False
        self._ended = False
        self._stalled: IDelayedCall | None = None
        self._resumed = Signal[None]()
        self._on_resume, self._on_end = on_resume, on_end

    @property
    def reads(self) -> bool:
        """Whether the client is connected, and has read what was sent."""
        return not self._paused and not self._ended

    def start(self) -> None:
        """Take over the connection."""
        transport = self._channel.transport
        self._socket = _plain(transport)
        if self._socket is not None:
            _limit(self._socket)
            transport.bufferSize = 0
        self._request.notifyFinish().addBoth(lambda _: self._left())
        self._request.registerProducer(self, True)
        self._request.write(RETRY)
        self._request.requestHeaders = self._request.responseHeaders = NO_HEADERS

    def write(self, data: bytes) -> None:
        """Send data to a client that is still connected; empty data is ignored."""
        if not data or self._ended:
            return
        if self._request.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._socket is not None and not self._paused:
            data = data[_taken(self._socket, data) :]
        if data:
            self._channel.write(data)

    def beat(self) -> None:
        """Send a comment as heartbeat, so that the client and all proxies see that the connection is alive."""
        if not self._paused:
            self.write(COMMENT)

    async def ready(self) -> None:
        """Wait until the client reads again, or has disconnected."""
        if self._paused and not self._ended:
            await self._resumed.wait()

    def end(self) -> None:
        """Disconnect the client."""
        if self._ended:
            return
        if self._paused:
            self._channel.transport.abortConnection()
            return
        self._request.unregisterProducer()
        self._request.finish()
        self._channel.loseConnection()

    def pauseProducing(self) -> None:
        """Stop sending: the client does not read what was sent."""
        self._paused = True
        if self._stalled is None and not self._ended:
            self._stalled = self._clock.callLater(self._stall, self._give_up)

    def resumeProducing(self) -> None:
        """Continue sending: the client reads again."""
        self._paused = False
        self._unstall()
        self._resumed.send(None)
        self._on_resume(self)

    def stopProducing(self) -> None:
        """Ignore the disconnect: notifyFinish reports it as well."""

    def _give_up(self) -> None:
        self._stalled = None
        self._channel.transport.abortConnection()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _left(self) -> None:
        self._ended = True
        self._unstall()
        self._resumed.send(None)
        self._on_end(self)


OnSubscriber = Callable[[Subscriber], None]


def _plain(transport: Any) -> socket.socket | None:
    """Return the socket of a connection; None under TLS."""
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    return handle if isinstance(handle, socket.socket) else None


def _limit(connection: socket.socket) -> None:
    """Bound what a connection costs in the kernel, on systems that support it."""
    with suppress(OSError, AttributeError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED)


def _taken(connection: socket.socket, data: bytes) -> int:
    """Send data, and return how many bytes the kernel accepted: 0 after an error, which the reactor detects as well."""
    try:
        return connection.send(data)
    except OSError:
        return 0
