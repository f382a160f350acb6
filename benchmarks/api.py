"""Runs the service on the measured core, with a Redis on the other cores that keeps nothing on disk."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import attrs

from benchmarks import cores
from benchmarks.redis import RedisConnection
from tests.redis_server import RedisServer
from tests.service.process import TWISTD, Service

TWISTED_OWN = ("server", "date", "content-length")
"""Headers that twisted.web adds by itself."""


@attrs.frozen
class Response:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def asked(port: int, method: str, path: str) -> Response:
    """Send a request, and return the response without the headers that twisted.web adds to every response."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        headers = {name: value for name, value in reply.getheaders() if name.lower() not in TWISTED_OWN}
        return Response(reply.status, headers, reply.read())
    finally:
        connection.close()


class PinnedService(Service):
    """``twistd vmpooler``, bound to the measured core."""

    @property
    def pid(self) -> int:
        """The process id of twistd. Raises RuntimeError before the start."""
        if self.process is None:
            raise RuntimeError("not started")
        return self.process.pid

    @property
    def pids(self) -> list[int]:
        """The ids of all processes whose CPU time counts; here only the one."""
        return [self.pid]

    def start(self) -> None:
        """Start it, and bind it to the measured core."""
        super().start()
        cores.pin(self.pid)

    def asked(self, method: str, path: str) -> Response:
        """Send a request to it, and return the response."""
        return asked(self.port, method, path)

    def json(self, path: str) -> Any:
        """Return the decoded JSON from ``GET path``. Raises RuntimeError when the status is not 200."""
        answer = self.asked("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status}")
        return json.loads(answer.body)


class ApiService(PinnedService):
    """The API without a manager: clients cause all of its work."""

    def __init__(self, config: str, *options: str, twistd: Path = TWISTD) -> None:
        super().__init__(config, "--role=api", *options, twistd=twistd)


@contextmanager
def redis() -> Iterator[tuple[str, RedisConnection]]:
    """Run a Redis that writes nothing to disk, off the measured core. Yield its socket's path, and a connection."""
    server = RedisServer()
    with cores.aside():
        try:
            server.start()
            with RedisConnection(server.socket) as connection:
                yield server.socket, connection
        finally:
            server.remove()
