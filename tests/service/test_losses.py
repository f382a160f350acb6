"""A service whose Redis lost writes that it had acknowledged: on a full disk, or without an append-only file."""

import os
import resource
import signal
from collections.abc import Iterable
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.service.process import Client, Service, processes, until
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

POOLS = "config: {prefix: vm-}\npools: [{name: debian-12, alias: linux, size: 4}]\n"


def taken(service: Service) -> list[str]:
    """Check out a VM. Return its name in a list, which is empty when the request was refused."""
    answer = service.request("POST", "/vm/linux")
    return [str(answer.body["linux"]["hostname"])] if answer.status == 200 else []


def take(service: Service, vms: int) -> set[str]:
    """Check out this number of VMs, each as soon as one is available."""
    return {vm for _ in range(vms) for vm in until(lambda: taken(service), "a VM is given")}


def redis_of(service: Service) -> int:
    """Return the process id of its embedded Redis; 0 unless exactly one runs."""
    found = [pid for pid, line in processes(service.directory).items() if "redis-server" in line]
    return found[0] if len(found) == 1 else 0


def at_once(service: Service, requests: int) -> set[str]:
    """Send this number of checkout requests at the same moment, and return the VMs that clients were given."""
    clients = [Client(service.port) for _ in range(requests)]
    for client in clients:
        client.request("POST", "/vm/linux")
    given = set()
    for client in clients:
        try:
            answer = client.answer()
        except (OSError, HTTPException):
            continue
        if answer.status == 200:
            given.add(str(answer.body["linux"]["hostname"]))
    return given


def fill(pid: int, files: Iterable[Path]) -> None:
    """Limit the files of a process to the size of the largest of ``files``, as a quota does."""
    assert pid, "there is no such process"
    size = max(file.stat().st_size for file in files)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.limit(90)
async def test_what_is_answered_when_the_disk_fills_is_given_to_nobody_else() -> None:
    with Service(f"redis: {{server: embedded}}\n{POOLS}") as service:
        given: set[str] = set()
        for _ in range(3):
            until(lambda: service.ready() == 4, "the pool is full")
            given |= take(service, 1)
            fill(redis := redis_of(service), service.directory.rglob("*.aof"))
            new = at_once(service, 4)
            assert not new & given
            given |= new
            until(lambda: service.request("GET", "/readyz").status == 503, "it is not ready")
            answer = service.request("POST", "/vm/linux")
            assert answer.status == 503
            assert "MISCONF" in answer.body["message"]
            assert service.request("GET", "/status").status == 200, "what can be read is returned"
            os.kill(redis, signal.SIGKILL)
            until(
                lambda: redis_of(service) not in (0, redis) and service.request("GET", "/readyz").status == 200,
                "it serves",
            )
            again = take(service, 4)
            assert not again & given
            given |= again
        running = await service.queue(Queue.RUNNING, "debian-12")
        assert given <= running
        assert "make room on the disk of" in service.said
        assert 0 < service.said.count("waits for Redis") < 300, "what is refused is tried again and again"
        assert "Traceback" not in service.said


@pytest.mark.limit(60)
async def test_what_a_redis_without_a_file_had_answered_is_its_clients_after_a_restart(
    spare_redis: RedisServer,
) -> None:
    with Service(f"redis: {{socket: {spare_redis.socket}}}\n{POOLS}") as service:
        service.redis_socket = spare_redis.socket
        until(lambda: service.ready() == 4, "the pool is full")
        await service.redis("SAVE")
        given = take(service, 3)
        spare_redis.kill()
        spare_redis.start()
        again = take(service, 4)
        assert not given & again
        assert await service.queue(Queue.RUNNING, "debian-12") == given | again
        assert {event.vm for event in await service.events() if event.what == What.RESTORED} == given
        assert "lacks what was written last" in service.said


@pytest.mark.limit(60)
async def test_what_an_api_had_given_that_died_with_such_a_redis_is_out_of_reach(spare_redis: RedisServer) -> None:
    config = f"redis: {{socket: {spare_redis.socket}}}\n{POOLS}"
    with Service(config, "--role=manager") as manager, Service(config, "--role=api") as api:
        manager.redis_socket = spare_redis.socket
        until(lambda: api.ready() == 4, "the pool is full")
        await manager.redis("SAVE")
        given = take(api, 3)
        api.kill()
        spare_redis.kill()
        spare_redis.start()
        api.start()
        assert not given & take(api, 4)
        assert given <= await manager.queue(Queue.RUNNING, "debian-12")
        assert {event.vm for event in await manager.events() if event.what == What.QUARANTINED} >= given


@pytest.mark.limit(60)
async def test_a_service_that_crashed_with_its_redis_starts_at_once_and_puts_nothing_away() -> None:
    with Service(f"redis: {{server: embedded}}\nproviders: {{dummy: {{filename: dummy.yaml}}}}\n{POOLS}") as service:
        until(lambda: service.ready() == 4, "the pool is full")
        given = take(service, 2)
        until(lambda: service.ready() == 4, "the pool is full again")
        service.kill()
        service.start()
        again = take(service, 4)
        assert not given & again
        events = [event.what for event in await service.events()]
        assert What.QUARANTINED not in events
        assert "is waited for" not in service.said
