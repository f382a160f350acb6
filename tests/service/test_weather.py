"""A service whose Redis becomes unavailable, and recovers."""

import os
import signal
import time

import pytest

from tests.redis_server import RedisServer
from tests.service.process import Answer, Service, processes, until
from vmpooler.domain.model import Queue

POOLS = "pools: [{name: debian-12, alias: linux, size: 2}]\n"

AT_ONCE = 1.0
"""Seconds. Waiting for a connection or for a reply would take longer."""


def on(redis: RedisServer) -> str:
    """Return a configuration that keeps its state in this Redis."""
    return f"redis: {{socket: {redis.socket}}}\n{POOLS}"


def quickly(service: Service, method: str = "GET", path: str = "/status") -> Answer:
    """Return the response to a request. Raises OSError when it takes longer than AT_ONCE."""
    return service.request(method, path, seconds=AT_ONCE)


def away(service: Service) -> bool:
    """Return whether the API answers at once with status 503, because Redis is away."""
    answer = quickly(service)
    assert answer.status == 200 or (answer.body["ok"] is False and "Redis is away" in answer.body["message"])
    return answer.status == 503


def test_a_redis_that_is_not_there_at_the_start_is_waited_for(spare_redis: RedisServer) -> None:
    spare_redis.kill()
    with Service(on(spare_redis)) as service:
        assert away(service)
        assert service.said.count(f"Redis at {spare_redis.socket} is away") == 1
        spare_redis.start()
        until(lambda: service.ready() == 2, "the pool is full")
        assert quickly(service, "POST", "/vm/linux").status == 200


async def test_a_redis_that_is_killed_is_missed_at_once_and_work_goes_on_when_it_is_back(
    spare_redis: RedisServer,
) -> None:
    with Service(on(spare_redis)) as service:
        service.redis_socket = spare_redis.socket
        until(lambda: service.ready() == 2, "the pool is full")
        await service.redis("SAVE")
        spare_redis.kill()
        until(lambda: away(service), "the API answers 503", AT_ONCE)
        assert quickly(service, "POST", "/vm/linux").status == 503
        assert quickly(service, "GET", "/nowhere").status == 404
        spare_redis.start()
        until(lambda: service.ready() == 2, "Redis is back")
        until(lambda: quickly(service, "POST", "/vm/linux").status == 200, "the VMs are compared with the provider")
        until(lambda: service.ready() == 2, "the VM is replaced")
        assert "Traceback" not in service.said


async def test_a_redis_that_hangs_is_away_until_it_answers_and_nothing_is_lost(spare_redis: RedisServer) -> None:
    with Service(on(spare_redis)) as service:
        service.redis_socket = spare_redis.socket
        until(lambda: service.ready() == 2, "the pool is full")
        ready = await service.queue(Queue.READY, "debian-12")
        spare_redis.freeze()
        start = time.monotonic()
        until(lambda: service.request("GET", "/status").status == 503, "the last status is not returned any more")
        assert time.monotonic() - start < 7, "who asks first waits for as long as Redis may take"
        assert away(service)
        spare_redis.thaw()
        until(lambda: service.ready() == 2, "it goes on")
        assert await service.queue(Queue.READY, "debian-12") == ready


async def test_an_embedded_redis_that_is_killed_comes_back_with_its_data() -> None:
    with Service("redis: {server: embedded}\n" + POOLS) as service:
        until(lambda: service.ready() == 2, "the pool is full")
        host = service.request("POST", "/vm/linux").body["linux"]["hostname"]
        until(lambda: service.ready() == 2, "the VM is replaced")
        before = await service.everywhere(["debian-12"])
        (redis,) = [pid for pid, line in processes(service.directory).items() if "redis-server" in line]
        os.kill(redis, signal.SIGKILL)
        until(lambda: away(service), "the API answers 503", AT_ONCE)
        until(lambda: not away(service), "Redis is back")
        assert await service.everywhere(["debian-12"]) == before
        assert quickly(service, "GET", f"/vm/{host}").body[host]["state"] == "running"
        assert "is started again" in service.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_waits_for_redis_can_be_stopped(spare_redis: RedisServer, number: signal.Signals) -> None:
    spare_redis.kill()
    with Service(on(spare_redis), "--role=manager") as service:
        start = time.monotonic()
        assert service.stop(number) == -number
        assert time.monotonic() - start < 8
        assert "Traceback" not in service.said
