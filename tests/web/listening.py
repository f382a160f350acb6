"""A client of server-sent events."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http import fromChunk


@attrs.frozen
class Frame:
    """One server-sent event."""

    id: str
    kind: str
    data: Any


class EventClient(Protocol):
    """A subscriber.

    ``frames``: the events received. ``comments``: the number of comments received. ``head``: the head of the response.
    """

    transport: Any

    def __init__(self, path: str, last: str = "", version: str = "1.0") -> None:
        self._path, self._last, self._version = path, last, version
        self._chunks = b""
        self._bytes = b""
        self.head = ""
        self.frames: list[Frame] = []
        self.comments = 0
        self.ended: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        known = f"Last-Event-ID: {self._last}\r\n" if self._last else ""
        self.transport.write(f"GET {self._path} HTTP/{self._version}\r\nHost: x\r\n{known}\r\n".encode())

    def dataReceived(self, data: bytes) -> None:
        self._chunks += data
        if not self.head:
            head, found, rest = self._chunks.partition(b"\r\n\r\n")
            if not found:
                return
            self.head, self._chunks = head.decode(), rest
        self._unpack()
        *blocks, self._bytes = self._bytes.split(b"\n\n")
        for block in blocks:
            self._take(block.decode())

    def _unpack(self) -> None:
        """Move received data to ``_bytes``; decode it first when the response is chunked."""
        if "Transfer-Encoding: chunked" not in self.head:
            self._bytes, self._chunks = self._bytes + self._chunks, b""
            return
        with suppress(ValueError):  # the chunk is not complete yet
            while self._chunks:
                chunk, self._chunks = fromChunk(self._chunks)
                self._bytes += chunk

    def _take(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "data" in fields:
            self.frames.append(Frame(fields["id"], fields["event"], json.loads(fields["data"])))
        elif not fields:
            self.comments += 1

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.ended.callback(None)

    @property
    def last(self) -> str:
        """The Last-Event-ID that a browser would send when it reconnects."""
        return self.frames[-1].id

    def of(self, kind: str) -> list[Any]:
        """Return the data of all frames of a kind."""
        return [frame.data for frame in self.frames if frame.kind == kind]

    def vms(self) -> list[str]:
        """Return the VM of each event received."""
        return [event["vm"] for event in self.of("event")]

    def pause(self) -> None:
        """Stop reading."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Continue to read."""
        self.transport.resumeProducing()

    async def until(self, condition: Callable[["EventClient"], Any], seconds: float = 10) -> None:
        """Wait until the condition is true for this client."""
        from twisted.internet import reactor

        clock: Any = reactor
        end = clock.seconds() + seconds
        while not condition(self):
            assert clock.seconds() < end, f"in vain: {self.head} {self.frames[-5:]}"
            await deferLater(clock, 0.01)

    async def hang_up(self) -> None:
        self.transport.abortConnection()
        await self.ended


async def subscribe(port: int, path: str = "/dashboard/events", last: str = "", version: str = "1.0") -> EventClient:
    """Connect and return a subscriber."""
    from twisted.internet import reactor

    client = EventClient(path, last, version)
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
    return client
