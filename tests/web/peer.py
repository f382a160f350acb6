"""A client without a network, for a site whose clock advances only when the test advances it."""

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.client import Answer, Client
from tests.web.conftest import PLAIN, nowhere
from vmpooler.settings import Redis, Settings
from vmpooler.store.redis.client import Connection
from vmpooler.web.app import Api
from vmpooler.web.http.server import Site

HOME = IPv4Address("TCP", "192.0.2.1", 40000)


def request(target: bytes, *headers: bytes, method: bytes = b"POST", body: bytes = b"") -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: a", *headers, b"", b""]) + body


class Peer:
    """One connection from a given address."""

    def __init__(self, site: Site, address: IAddress = HOME) -> None:
        self.transport = StringTransport(peerAddress=address)
        self._channel: Any = site.buildProtocol(None)
        self._channel.makeConnection(self.transport)

    def say(self, data: bytes) -> None:
        self._channel.dataReceived(data)

    def hang_up(self) -> None:
        self._channel.connectionLost(Failure(ConnectionError("gone")))

    @property
    def cut_off(self) -> bool:
        return bool(self.transport.disconnecting)

    @property
    def statuses(self) -> list[int]:
        client = Client()
        client.dataReceived(self.transport.value())
        return client.statuses

    @property
    def answer(self) -> Answer:
        """The first response; tests use it where only one is expected."""
        client = Client()
        client.dataReceived(self.transport.value())
        answer = client.answer.result
        assert isinstance(answer, Answer)
        return answer


class SlowResource(Resource):
    """A resource that never finishes its response."""

    isLeaf = True

    def render(self, request: Any) -> int:
        return NOT_DONE_YET


def quiet_api(clock: Clock, settings: Settings = PLAIN) -> Api:
    """Return an API whose Redis cannot be reached."""
    connection = Connection(Redis(socket="/nowhere"), clock, quiet=True)
    return Api(settings, connection, clock, clock.seconds, resolve=nowhere)
