"""A plain HTTP client that sends exactly the bytes it is given."""

import json
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure


@attrs.frozen
class Answer:
    """One response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client(Protocol):
    """One connection.

    ``answer`` fires with the next complete response, or with None when the server disconnects.
    """

    def __init__(self, head_only: bool = False) -> None:
        self._head_only = head_only
        self._bytes = b""
        self.statuses: list[int] = []
        self.answer: Deferred[Answer | None] = Deferred()
        self.ended: Deferred[None] = Deferred()

    def say(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def hang_up(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()

    async def read_answer(self) -> Answer:
        answer = await self.answer
        assert answer is not None, f"no complete answer: {self._bytes!r}"
        self.answer = Deferred()
        return answer

    def dataReceived(self, data: bytes) -> None:
        self._bytes += data
        while (found := self._parsed()) is not None:
            answer, self._bytes = found
            self.statuses.append(answer.status)
            if answer.status != 100:
                self.answer.callback(answer)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if not self.answer.called:
            self.answer.callback(None)
        self.ended.callback(None)

    def _parsed(self) -> tuple[Answer, bytes] | None:
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert "transfer-encoding" not in headers, "answers are short and have a length"
        length = 0 if self._head_only else int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        return Answer(int(first.split(" ")[1]), headers, rest[:length].decode()), rest[length:]


async def connected(port: int, head_only: bool = False) -> Client:
    from twisted.internet import reactor

    client = Client(head_only)
    await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), client)
    return client


async def said(port: int, data: bytes, head_only: bool = False) -> Answer:
    """Return the response to these bytes, sent on a new connection."""
    client = await connected(port, head_only)
    client.say(data)
    try:
        return await client.read_answer()
    finally:
        client.hang_up()
        await client.ended


async def until(condition: Any, seconds: float = 10) -> None:
    """Wait until a coroutine function returns a true value."""
    from twisted.internet import reactor

    clock: Any = reactor
    end = clock.seconds() + seconds
    while not await condition():
        assert clock.seconds() < end, "waited in vain"
        await deferLater(clock, 0.02)
