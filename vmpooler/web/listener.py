"""One client that listens to events, at its own pace.

Note [Straight to the socket]

Twisted writes by way of a list, another turn of the reactor and three calls of the system: tell me when the socket
takes something, send, tell me no more. So an event cost 20 µs for each of thousands of listeners. It costs 9, five of
them the kernel's, now that its bytes are sent at once; what the kernel does not take, or fails to, is left to Twisted.
For the order of the bytes Twisted must then hold none: ``bufferSize`` 0 has it pause the listener as soon as it holds
one, and resume it when all are gone.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.web.http_headers import Headers
from zope.interface import implementer

from vmpooler.web.frames import COMMENT, RETRY
from vmpooler.web.journal import Filter
from vmpooler.web.request import Request

SEND_BUFFER = 1 << 17
"""Bytes that the kernel holds for a client. Its own idea of it is megabytes, which a client that reads nothing would
take, and for minutes look well."""


VANISHED = 60_000
"""Milliseconds after which the kernel gives up a client that acknowledges nothing: a laptop that was closed."""


SAID = Headers()
"""In the place of headers that were read and sent: 2 of 9 KiB that a listener costs."""


class Source(Protocol):
    """What a listener is told from: the places there are, and what is there to tell."""

    @property
    def start(self) -> int:
        """The first place."""

    @property
    def end(self) -> int:
        """The last."""

    def text(self, place: int, wanted: Filter) -> tuple[bytes, int]:
        """What there is to tell from a place on, and up to which place that is."""

    def state(self, wanted: Filter, gap: bool) -> bytes | None:
        """Everything, as it is at the end; None while that is not known."""

    def trouble(self) -> bytes | None:
        """Why not, where that is known."""


@implementer(IPushProducer)
class Listener:
    """Tells one client what it wants to hear, from ``place`` on, None until that is known.

    ``owed``: it is to be told the state, after the events that there are; ``gap``: and that it missed some; ``warned``:
    it was told why it is not told the state. It may take nothing for ``stall`` seconds.
    """

    def __init__(self, request: Request, wanted: Filter, source: Source, clock: IReactorTime, stall: float) -> None:
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
        self._resumed: list[Deferred[None]] = []

    def start(self, lost: Callable[["Listener"], None]) -> None:
        """Take the connection over; ``lost`` is called when the client has gone."""
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
        """Tell what has not been told, as far as the client takes it."""
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
        """Send something, if there is anything."""
        if not data or self._ended:
            return
        if self._request.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._socket is not None and not self._paused:
            data = data[_taken(self._socket, data) :]
        if data:
            self._channel.write(data)

    def beat(self) -> None:
        """Show the client, and whatever stands between, that the connection is alive."""
        if not self._paused:
            self.write(COMMENT)

    async def ready(self) -> bool:
        """Wait until the client takes more; False when it has gone."""
        if self._paused and not self._ended:
            waiter: Deferred[None] = Deferred()
            self._resumed.append(waiter)
            await waiter
        return not self._ended

    def end(self) -> None:
        """Hang up."""
        if self._ended:
            return
        if self._paused:
            self._channel.transport.abortConnection()
            return
        self._request.unregisterProducer()
        self._request.finish()
        self._channel.loseConnection()

    def pauseProducing(self) -> None:
        """The client does not take what was sent: send no more."""
        self._paused = True
        if self._stalled is None and not self._ended:
            self._stalled = self._clock.callLater(self._patience, self._stall)

    def resumeProducing(self) -> None:
        """It takes more."""
        self._paused = False
        self._unstall()
        self._wake()
        self.tell()

    def stopProducing(self) -> None:
        """It has gone, which notifyFinish tells as well."""

    def _stall(self) -> None:
        self._stalled = None
        self._channel.transport.abortConnection()

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _wake(self) -> None:
        waiting, self._resumed = self._resumed, []
        for each in waiting:
            each.callback(None)

    def _left(self, lost: Callable[["Listener"], None]) -> None:
        self._ended = True
        self._unstall()
        self._wake()
        lost(self)


def _plain(transport: Any) -> socket.socket | None:
    """The socket of a connection; None under TLS."""
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    return handle if isinstance(handle, socket.socket) else None


def _limit(connection: socket.socket) -> None:
    """Bound what a connection costs in the kernel, where it can be: not on every system."""
    with suppress(OSError, AttributeError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, VANISHED)


def _taken(connection: socket.socket, data: bytes) -> int:
    """How many bytes of this are on their way; none when it failed, which the reactor will find as well."""
    try:
        return connection.send(data)
    except OSError:
        return 0
