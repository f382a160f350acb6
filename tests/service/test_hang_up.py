"""A client that hangs up while the process that answers it is stopped: its VM goes back."""

import os
import signal
import socket
import time

import pytest

from tests.redis_server import RedisServer
from tests.service.process import Service, until
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

pytestmark = pytest.mark.limit(240)

POOL = "debian-12"
TIMES = 10
REQUEST = f"POST /api/v1/vm/{POOL} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
STOPPED = 0.3
"""Seconds that the process is stopped at the least; how long makes no difference."""


async def test_a_client_that_gives_up_while_the_api_is_stopped_keeps_no_vm(spare_redis: RedisServer) -> None:
    config = f"redis: {{socket: {spare_redis.socket}}}\npools: [{{name: {POOL}, size: 2}}]\n"
    with Service(config) as service:
        service.redis_socket = spare_redis.socket
        assert service.process is not None
        pid = service.process.pid
        until(lambda: service.ready(POOL) == 2, "the pool is full")
        mine = service.request("POST", f"/vm/{POOL}").body[POOL]["hostname"]  # from now on Redis knows the script
        for _ in range(TIMES):
            until(lambda: service.ready(POOL) == 2, "the pool is full")
            with socket.create_connection(("127.0.0.1", service.port)) as client:
                spare_redis.freeze()
                client.sendall(REQUEST)
                time.sleep(STOPPED)  # its script is sent
                os.kill(pid, signal.SIGSTOP)
                spare_redis.thaw()
                began = time.monotonic()
                while await service.queue(Queue.RUNNING, POOL) == {mine}:
                    assert time.monotonic() - began < 10, "the checkout was carried out"
            time.sleep(STOPPED)  # the client has hung up
            os.kill(pid, signal.SIGCONT)
            began = time.monotonic()
            while await service.queue(Queue.RUNNING, POOL) != {mine}:
                assert time.monotonic() - began < 10, "its VM goes back"
        events = [event.what for event in await service.events()]
        assert events.count(What.RETURNED) == TIMES == events.count(What.CHECKOUT) - 1
