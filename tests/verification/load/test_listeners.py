"""Thousands of subscribers, and some that never read: their cost, printed, and the latency for other clients."""

import socket
import time
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from benchmarks.cores import Usage
from tests.service.process import Service, until
from tests.verification.load.crowd import Crowd
from tests.verification.load.replay import percentile
from vmpooler.store import keys

CONFIG = """
config: {prefix: vm-}
redis: {server: embedded}
pools: [{name: debian-12, size: 3}, {name: ubuntu-24, size: 3}]
"""

CLIENTS = 2000
SECONDS = 8.0
A_SECOND = 25

DEAF = 100
STORM = 40_000


class RawRedis:
    """A minimal client of a service's Redis."""

    def __init__(self, path: Path | str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))

    def happen(self, first: int, count: int) -> None:
        """Write ``count`` events, for the VMs vm<first>, vm<first + 1> and so on."""
        script = (
            "for i = 0, ARGV[2] - 1 do redis.call('XADD', KEYS[1], '*', 'what', 'ready', 'pool', 'debian-12', "
            "'vm', 'vm' .. (ARGV[1] + i), 'when', '1700000000', 'by', 'manager') end"
        )
        words = [b"EVAL", script.encode(), b"1", keys.EVENTS.encode(), b"%d" % first, b"%d" % count]
        self._socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(each), each) for each in words))
        assert self._socket.recv(100) == b"$-1\r\n"

    def close(self) -> None:
        self._socket.close()


def latency(service: Service, seconds: float) -> list[float]:
    """Send requests for a number of seconds, and return the response times in milliseconds."""
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        assert service.request("GET", "/vm").status == 200
        found.append(1000 * (time.monotonic() - began))
        time.sleep(0.02)
    return found


def pace(redis: RawRedis) -> None:
    """Write events at a constant rate for SECONDS seconds."""
    began = time.monotonic()
    for number in range(int(SECONDS * A_SECOND)):
        redis.happen(number, 1)
        time.sleep(max(0.0, began + (number + 1) / A_SECOND - time.monotonic()))


@pytest.mark.alone
@pytest.mark.limit(120)
async def test_two_thousand_subscribers_get_every_event_in_order_and_the_api_answers_meanwhile(tmp_path: Path) -> None:
    with Service(CONFIG, directory=tmp_path) as service:
        await service.full()
        assert service.process is not None
        usage = Usage(service.process.pid)
        alone = await deferToThread(latency, service, 2.0)
        before = usage.memory
        with Crowd(service.port, CLIENTS) as crowd:
            await deferToThread(crowd.listens)
            await deferLater(reactor, 1.0)
            each = (usage.memory - before) / CLIENTS
            redis, cpu = RawRedis(service.redis_socket), usage.cpu
            happening = deferToThread(pace, redis)
            beside = await deferToThread(latency, service, SECONDS)
            await happening
            used = (usage.cpu - cpu) / SECONDS
            await deferLater(reactor, 2.0)
            received = await deferToThread(crowd.received)
            peak = (usage.memory - before) / CLIENTS
            redis.close()
        said = " / ".join(f"{percentile(beside, share):.1f}" for share in (0.5, 0.99))
        plain = " / ".join(f"{percentile(alone, share):.1f}" for share in (0.5, 0.99))
        print(f"\n{CLIENTS} clients, {A_SECOND} events a second: {100 * used:.0f} % of a core, ", end="")
        print(f"{1000 * used / CLIENTS:.2f} ms of it a second for each client, {each:.1f} KB each, {peak:.1f} KB after")
        print(f"events late by {received['late']} ms (p50, p99); the API p50 / p99 {said} ms, alone {plain} ms")
        assert (received["same"], len(received["ids"]), received["ordered"]) == (CLIENTS, int(SECONDS * A_SECOND), True)
        assert 0 < each < 40
        assert 0 < peak < 40
        assert percentile(beside, 0.99) < 400
        assert 0 < received["late"]["50"] <= received["late"]["99"] < 3000


@pytest.mark.limit(120)
async def test_a_hundred_subscribers_that_never_read_cost_no_memory_and_are_disconnected(tmp_path: Path) -> None:
    with Service(CONFIG, directory=tmp_path) as service:
        await service.full()
        assert service.process is not None
        usage, redis = Usage(service.process.pid), RawRedis(service.redis_socket)
        with Crowd(service.port, 1) as listening:
            await deferToThread(listening.listens)
            redis.happen(0, 5000)  # fill the event log of the process first: it is not a cost of the deaf subscribers
            await deferLater(reactor, 2.0)
            files, before = usage.files, usage.memory
            with Crowd(service.port, DEAF, "deaf") as deaf:
                await deferToThread(deaf.listens)
                await deferToThread(until, lambda: usage.files >= files + DEAF, "they are connected")
                most = 0
                for first in range(0, STORM, 500):
                    redis.happen(5000 + first, 500)
                    await deferLater(reactor, 0.05)
                    most = max(most, usage.memory)
                grown = most - before
                began = time.monotonic()
                await deferToThread(until, lambda: usage.files <= files, "they are disconnected", 60.0)
                print(f"\n{DEAF} subscribers that never read, {STORM} events: {grown} KB more, all cut ", end="")
                print(f"{time.monotonic() - began:.0f} s later; then {usage.memory - before} KB", end="")
            received = await deferToThread(listening.received)
            redis.close()
        assert (received["same"], len(received["ids"]), received["ordered"]) == (1, 5000 + STORM, True)
        assert grown < 20_000, "kilobytes: what was on its way to them when they stopped"
