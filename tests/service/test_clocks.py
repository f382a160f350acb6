"""Hosts whose clocks differ, or are set while the service runs: real processes, each with its own clock."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host_clock import HostClock
from tests.redis_server import RedisServer
from tests.service.process import Service, until
from vmpooler.domain import times
from vmpooler.domain.model import Queue
from vmpooler.store import keys

pytestmark = [pytest.mark.needs("faketime"), pytest.mark.limit(240)]

POOL = "debian-12"
HOUR = 3600.0


@pytest.fixture
def host(tmp_path: Path) -> HostClock:
    """The clock of a simulated host. Processes that are started with its ``environ`` use it."""
    return HostClock(tmp_path)


@pytest.fixture
def redis(host: HostClock) -> Iterator[RedisServer]:
    """A Redis on that host."""
    server = RedisServer(environ=host.environ)
    server.start()
    yield server
    server.remove()


def config(redis: RedisServer, home: Path, more: str = "") -> str:
    """Return a configuration for processes that share a Redis and a simulated hypervisor."""
    return f"""
config: {{prefix: vm-{more}}}
redis: {{socket: {redis.socket}}}
providers: {{dummy: {{filename: {home}/dummy.json}}}}
pools: [{{name: {POOL}, size: 2}}]
"""


def taken(api: Service) -> str:
    """Wait until the pool is full, check out a VM, and return its name."""
    until(lambda: api.ready(POOL) == 2, "the pool is full")
    answer = api.request("POST", f"/vm/{POOL}")
    assert answer.status == 200, answer
    return str(answer.body[POOL]["hostname"])


def test_the_clock_of_a_process_is_set_and_its_count_of_seconds_is_not(host: HostClock) -> None:
    """The other tests of this file rely on this."""
    asked = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    for step in (-HOUR, HOUR):
        host.set(step)
        done = subprocess.run([sys.executable, "-c", asked], env=host.environ, capture_output=True, check=True)
        wall, monotonic, since_boot = map(float, done.stdout.split())
        assert abs(wall - time.time() - step) < 60
        assert abs(monotonic - time.monotonic()) < 60
        assert abs(since_boot - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60


async def test_a_vm_lives_as_long_as_it_may_though_its_api_is_behind(
    spare_redis: RedisServer, host: HostClock, tmp_path: Path
) -> None:
    host.set(-100)
    settings = config(spare_redis, tmp_path, ", vm_lifetime: 0.02")  # hours: 72 s
    with Service(settings, "--role=manager"), Service(settings, "--role=api", environ=host.environ) as api:
        api.redis_socket = spare_redis.socket
        vm = taken(api)
        began = time.time()
        report = api.request("GET", f"/vm/{vm}").body[vm]
        assert (report["running"], report["remaining"]) == (0, 0.02)
        checkout = times.moment(await api.redis("HGET", keys.record(vm), "checkout"))
        assert checkout is not None
        assert abs(checkout - began) < 5
        other = taken(api)  # the checkout wakes the manager
        until(lambda: api.ready(POOL) == 2, "the manager has had its round")
        assert await api.queue(Queue.RUNNING, POOL) == {vm, other}


async def test_a_manager_that_was_ahead_leaves_nothing_that_waits(
    spare_redis: RedisServer, host: HostClock, tmp_path: Path
) -> None:
    failing = config(spare_redis, tmp_path).replace("dummy.json", "dummy.json, createvm_fail_percent: 100")
    host.set(HOUR)
    with Service(failing, "--role=manager", environ=host.environ), Service(failing, "--role=api") as api:
        api.redis_socket = spare_redis.socket
        await until_failed(api)
        trouble = await api.redis("HGET", keys.trouble(POOL), keys.CLONES)
        assert '"until":' in trouble
        until_moment = float(trouble.partition('"until":')[2].split(",")[0].rstrip("}"))
        assert abs(until_moment - time.time()) < 400, "it goes by Redis's clock"


async def until_failed(api: Service) -> None:
    """Wait until a clone has failed."""
    end = time.monotonic() + 20
    while not await api.redis("HEXISTS", keys.trouble(POOL), keys.CLONES):
        assert time.monotonic() < end, "a clone fails"


async def test_a_leader_that_dies_after_redis_was_set_back_is_followed_at_once(
    redis: RedisServer, host: HostClock, tmp_path: Path
) -> None:
    settings = config(redis, tmp_path)
    with (
        Service(settings, "--role=manager") as first,
        Service(settings, "--role=manager") as second,
        Service(settings, "--role=api") as api,
    ):
        api.redis_socket = redis.socket
        until(lambda: "leads from now on" in first.said + second.said, "one leads")
        leader, other = (first, second) if "leads from now on" in first.said else (second, first)
        until(lambda: "stands by" in other.said, "the other stands by")
        vm = taken(api)
        assert leader.process is not None
        leader.process.send_signal(signal.SIGSTOP)  # it can no longer renew its lease
        host.set(-600)
        leader.kill()
        until(lambda: "leads from now on" in other.said, "the other leads", 10)
        assert "too long: Redis's clock was set back" in other.said
        until(lambda: "Redis's clock was set by -600" in other.said, "it is noticed", 15)
        assert taken(api) != vm
        until(lambda: api.ready(POOL) == 2, "the pool is filled")
        assert vm in await api.queue(Queue.RUNNING, POOL)


def test_a_host_that_is_set_back_while_its_service_waits_for_redis_is_waiting_still(
    spare_redis: RedisServer, host: HostClock, tmp_path: Path
) -> None:
    with Service(config(spare_redis, tmp_path), environ=host.environ) as service:
        until(lambda: service.ready(POOL) == 2, "the pool is full")
        spare_redis.kill()
        until(lambda: "is away" in service.said, "Redis is missed")
        for step in (-HOUR, HOUR):
            host.set(step)
            time.sleep(0.5)
        host.set(-HOUR)
        spare_redis.start()
        until(lambda: "answers again" in service.said, "Redis is there again", 10)
        until(lambda: service.ready(POOL) == 2, "the pool is full again", 10)


async def test_an_api_far_ahead_finds_its_own_checkout_after_a_stall(
    spare_redis: RedisServer, host: HostClock, tmp_path: Path
) -> None:
    settings = config(spare_redis, tmp_path)
    host.set(HOUR)
    with Service(settings, "--role=manager"), Service(settings, "--role=api", environ=host.environ) as api:
        api.redis_socket = spare_redis.socket
        mine = taken(api)
        until(lambda: api.ready(POOL) == 2, "the pool is full")
        spare_redis.freeze()
        assert api.request("POST", f"/vm/{POOL}").status == 503
        spare_redis.thaw()
        until(lambda: "outcome" in api.said, "it is owed")
        end = time.monotonic() + 15
        while not [event for event in await api.events() if event.what == "returned"]:
            assert time.monotonic() < end, "what it took goes back"
        assert await api.queue(Queue.RUNNING, POOL) == {mine}


LEASE = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from vmpooler.process.service import count_steadily
from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection
from vmpooler.store.failover.lease import Lease

count_steadily(reactor)

async def main():
    connection = Connection(Redis(socket=sys.argv[1]), reactor)
    connection.start()
    await connection.wait_ready(10)
    lease = Lease(connection, reactor, "a", holds=1.0)
    await lease.take()
    print(lease.leading, flush=True)
    sys.stdin.readline()
    await deferLater(reactor, 1.1)
    print(lease.leading, flush=True)
    await connection.close()
    reactor.stop()

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
"""


def test_a_lease_ends_in_time_for_its_holder_though_the_clock_of_its_host_is_set_back(
    spare_redis: RedisServer, host: HostClock
) -> None:
    command = [sys.executable, "-c", LEASE, spare_redis.socket]
    with subprocess.Popen(
        command, env=host.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        host.set(-HOUR)
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "False\n"
        assert holder.wait(10) == 0
