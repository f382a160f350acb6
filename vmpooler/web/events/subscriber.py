"""A client that is subscribed to events, and that reads at its own pace.

Note [Straight to the socket]

Twisted writes through a list, another turn of the reactor and three system calls: watch the socket until it accepts
data, send, stop watching. So an event cost 20 µs for each of thousands of subscribers. An event costs 9 µs, 5 of them
in the kernel, because its bytes are now sent at once. Bytes that the kernel does not accept, and bytes whose sending
fails, are left to Twisted. To keep the bytes in order, Twisted must hold none when bytes are sent directly:
``bufferSize`` 0 makes Twisted pause the listener as soon as it holds a byte, and resume it when all are sent.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http_headers import Headers
from zope.interface import implementer

from vmpooler.deferreds import Signal
from vmpooler.web.events.log import Filter
from vmpooler.web.events.sse import COMMENT, RETRY
from vmpooler.web.http.request import Request

SEND_BUFFER = 1 << 17
"""Bytes that the kernel buffers for a client.

Its default is megabytes: a client that reads nothing would fill them, and would look healthy for minutes.
"""


VANISHED = 60_000
"""Milliseconds after which the kernel drops a client that acknowledges nothing, such as a closed laptop."""


SAID = Headers()
"""Replaces headers that have been read or sent: they are 2 of the 9 KiB that a subscriber costs."""


class EventSource(Protocol):
    """What a listener sends: the positions in the log, and the frames at them."""

    @property
    def start(self) -> int:
        """The first position that is still available."""

    @property
    def end(self) -> int:
        """The position after the last entry."""

    def text(self, place: int, wanted: Filter) -> tuple[bytes, int]:
        """Return the frames that follow a position, and the position where they end."""

    def state(self, wanted: Filter, gap: bool) -> bytes | None:
        """Return the frame of the complete state at the end of the log; None while the state is not known."""

    def trouble(self) -> bytes | None:
        """Return the frame with the reason why the state is not known; None without such a reason."""


@implementer(IPushProducer)
class Subscriber:
    """Sends one client the events that it subscribed to, from ``place`` on; None until the position is known.

    ``owed``: the client is to get the state, after the events in the log. ``gap``: that state is to report that events
    were missed. ``warned``: the client got the reason why it gets no state. The client is disconnected when it reads
    nothing for ``stall`` seconds.
    """

    def __init__(
        self, request: Request, wanted: Filter, source: EventSource, clock: IReactorTime, stall: float
    ) -> None:
        self.wanted = wanted
        self.place: int | None = None
        self.owed = True
        self.gap = False
        self.warned = False
        self._request = request
        self._channel: Any = request.channel
        self._socket: socket.socket | None = None
        self._source = source
        self._clock = clock
        self._patience = stall
        self._paused = False
        self._ended = False
        self._stalled: IDelayedCall | None = None
        self._resumed = Signal[None]()

    def start(self, lost: Callable[["Subscriber"], None]) -> None:
        """Take over the connection; ``lost`` is called when the client has disconnected."""
        transport = self._channel.transport
        self._socket = _plain(transport)
        if self._socket is not None:
            _limit(self._socket)
            transport.bufferSize = 0
        self._request.notifyFinish().addBoth(lambda _: self._left(lost))
        self._request.registerProducer(self, True)
        self._request.write(RETRY)
        self._request.requestHeaders = self._request.responseHeaders = SAID

    def tell(self) -> None:
        """Send all that was not sent yet, as long as the client reads it."""
        while self.place is not None and not self._paused and not self._ended:
            if self.place < self._source.start:
                self.place, self.owed, self.gap = self._source.end, True, True
            if self.place < self._source.end:
                data, self.place = self._source.text(self.place, self.wanted)
            elif self.owed and (state := self._source.state(self.wanted, self.gap)):
                data, self.owed, self.gap, self.warned = state, False, False, False
            elif not self.warned and (trouble := self._source.trouble()):
                data, self.warned = trouble, True
            else:
                return
            self.write(data)

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

    async def ready(self) -> bool:
        """Wait until the client reads again. Returns False when it has disconnected."""
        if self._paused and not self._ended:
            await self._resumed.wait()
        return not self._ended

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
            self._stalled = self._clock.callLater(self._patience, self._stall)

    def resumeProducing(self) -> None:
        """Continue sending: the client reads again."""
        self._paused = False
        self._unstall()
        self._resumed.send(None)
        self.tell()

    def stopProducing(self) -> None:
        """Ignore the disconnect: notifyFinish reports it as well."""

    def _stall(self) -> None:
        self._stalled = None
        self._channel.transport.abortConnection()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _left(self, lost: Callable[["Subscriber"], None]) -> None:
        self._ended = True
        self._unstall()
        self._resumed.send(None)
        lost(self)


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
