"""Our service on the stage, with a Redis beside it that keeps nothing on disk."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import attrs

from benchmarks import cores
from benchmarks.redis import Redis
from tests.redis_server import RedisServer
from tests.service.process import TWISTD, Service

TWISTED_OWN = ("server", "date", "content-length")
"""Headers that twisted.web adds by itself."""


@attrs.frozen
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def asked(port: int, method: str, path: str) -> Answer:
    """The answer as it came, but for what twisted.web adds to any."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        headers = {name: value for name, value in reply.getheaders() if name.lower() not in TWISTED_OWN}
        return Answer(reply.status, headers, reply.read())
    finally:
        connection.close()


class Staged(Service):
    """``twistd vmpooler`` on the stage."""

    @property
    def pid(self) -> int:
        """Its process."""
        if self.process is None:
            raise RuntimeError("not started")
        return self.process.pid

    @property
    def pids(self) -> list[int]:
        """The same, and those that answer for it."""
        return [self.pid]

    def start(self) -> None:
        """Start it on the stage."""
        super().start()
        cores.stage(self.pid)

    def asked(self, method: str, path: str) -> Answer:
        """What it answers."""
        return asked(self.port, method, path)

    def json(self, path: str) -> Any:
        """What a path says."""
        answer = self.asked("GET", path)
        if answer.status != 200:
            raise RuntimeError(f"GET {path}: {answer.status}")
        return json.loads(answer.body)


class Api(Staged):
    """The same without a manager: whatever happens is what clients ask for."""

    def __init__(self, config: str, *options: str, twistd: Path = TWISTD) -> None:
        super().__init__(config, "--role=api", *options, twistd=twistd)


@contextmanager
def redis() -> Iterator[tuple[str, Redis]]:
    """A Redis without a disk, beside the stage: the path of its socket, and a connection to it."""
    server = RedisServer()
    with cores.aside():
        try:
            server.start()
            with Redis(server.socket) as connection:
                yield server.socket, connection
        finally:
            server.remove()
