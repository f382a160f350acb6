"""A client that disconnects while the API process is stopped (SIGSTOP): its VM is returned to the pool."""

import os
import signal
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest

from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import Service
from tests.service.test_endpoints import certified
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

pytestmark = pytest.mark.limit(240)

POOL = "debian-12"
MORE = b"GET /api/v1/vm HTTP/1.1\r\nHost: a\r\n\r\n"
REQUEST = f"POST /api/v1/vm/{POOL} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
STOPPED = 0.3
"""Minimum seconds for which the process is stopped. The exact time makes no difference."""


def closes(client: socket.socket) -> None:
    client.close()


def closes_its_half(client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)


def resets(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def asks_more_and_closes(client: socket.socket) -> None:
    client.sendall(MORE)
    client.close()


def ends_tls_alone(client: socket.socket) -> None:
    """Ends the TLS session (close_notify), and leaves the TCP connection open."""
    assert isinstance(client, ssl.SSLSocket)
    client.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.unwrap()


@attrs.frozen
class Stage:
    """A service with its own Redis. ``connect`` opens a client connection to the API."""

    service: Service
    redis: RedisServer
    connect: Callable[[], socket.socket]

    async def waits_for(self, queue: Queue, wanted: Callable[[set[str]], bool], what: str) -> None:
        end = time.monotonic() + 15
        while not wanted(await self.service.queue(queue, POOL)):
            assert time.monotonic() < end, what

    async def asked_while_stopped(self, mine: set[str], then: Callable[[socket.socket], None]) -> socket.socket:
        """Request a VM, stop the process while Redis runs the checkout, call ``then``, and resume the process.

        When the process resumes, it has seen neither the reply of Redis nor what ``then`` did to the connection.
        Return the client's connection.
        """
        process = self.service.process
        assert process is not None
        await self.waits_for(Queue.READY, lambda ready: len(ready) == 2, "the pool is full")
        client = self.connect()
        self.redis.freeze()
        client.sendall(REQUEST)
        time.sleep(STOPPED)  # until the checkout script is sent
        process.send_signal(signal.SIGSTOP)
        self.redis.thaw()
        await self.waits_for(Queue.RUNNING, lambda running: running > mine, "the checkout is carried out")
        then(client)
        time.sleep(STOPPED)
        os.kill(process.pid, signal.SIGCONT)
        return client

    async def taken(self) -> set[str]:
        """Check out a VM, and return the running VMs. After this call Redis has cached the script."""
        await self.waits_for(Queue.READY, lambda ready: len(ready) == 2, "the pool is full")
        with self.connect() as client:
            client.sendall(REQUEST)
            assert b"200 OK" in client.recv(4096)
        return await self.service.queue(Queue.RUNNING, POOL)


@contextmanager
def staged(redis: RedisServer, home: Path, tls: bool) -> Iterator[Stage]:
    """Run a service that listens for plain HTTP, or with TLS."""
    key, certificate = certified(home)
    trusted, port = ssl.create_default_context(cafile=certificate), free_port()
    options = [f"--listen=ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}"] if tls else []
    config = f"redis: {{socket: {redis.socket}}}\npools: [{{name: {POOL}, size: 2}}]\n"
    with Service(config, *options) as service:
        service.redis_socket = redis.socket

        def connect() -> socket.socket:
            plain = socket.create_connection(("127.0.0.1", port if tls else service.port), timeout=10)
            return trusted.wrap_socket(plain, server_hostname="localhost") if tls else plain

        yield Stage(service, redis, connect)


@pytest.mark.parametrize(
    ("tls", "leaves", "times"),
    [
        (False, closes, 10),
        (False, closes_its_half, 2),
        (False, resets, 2),
        (False, asks_more_and_closes, 2),
        (True, closes, 2),
        (True, ends_tls_alone, 2),
    ],
    ids=["closed", "half closed", "reset", "closed after more", "TLS closed", "TLS ended"],
)
async def test_a_client_that_gives_up_while_the_api_is_stopped_keeps_no_vm(
    tls: bool, leaves: Callable[[socket.socket], None], times: int, spare_redis: RedisServer, tmp_path: Path
) -> None:
    with staged(spare_redis, tmp_path, tls) as stage:
        mine = await stage.taken()
        for _ in range(times):
            client = await stage.asked_while_stopped(mine, leaves)
            await stage.waits_for(Queue.RUNNING, lambda running: running == mine, "its VM goes back")
            client.close()
        events = [event.what for event in await stage.service.events()]
        assert (events.count(What.RETURNED), events.count(What.CHECKOUT)) == (times, times + 1)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
async def test_a_client_that_asks_more_while_the_api_is_stopped_is_answered(
    tls: bool, spare_redis: RedisServer, tmp_path: Path
) -> None:
    with staged(spare_redis, tmp_path, tls) as stage:
        mine = await stage.taken()
        with await stage.asked_while_stopped(mine, lambda client: client.sendall(MORE)) as client:
            answers = b""
            while answers.count(b"200 OK") < 2:
                answers += client.recv(4096)
        (vm,) = await stage.service.queue(Queue.RUNNING, POOL) - mine
        assert vm.encode() in answers
        assert What.RETURNED not in [event.what for event in await stage.service.events()]
