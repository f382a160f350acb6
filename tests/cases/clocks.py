"""Kind 4: clocks of hosts that differ and step."""

import signal
import time
from http.client import HTTPConnection
from threading import Thread

from tests.cases.case import case
from tests.cases.world import (
    POOL,
    CaseWorld,
    ask,
    comes,
    config,
    events_of,
    full,
    hold,
    members,
    on,
    take,
    there,
)
from tests.host_clock import HostClock
from tests.ports import free_port
from tests.redis_server import RedisServer
from tests.service.process import Service, until
from tests.verification.chaos.proxy import HOST, TcpProxy
from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.store import keys

HOUR = 3600

ONE = [{"name": POOL, "size": 1}]

SOON = 25.0
"""Seconds within which a service works again as if nothing had happened."""

WATCHED = 10.0
"""Seconds that two managers are watched: a lease expires after three seconds."""

STALL = 12.0
"""Seconds that Redis hangs, longer than a request waits for it."""


@case("4a", "the API's host is 100 s slow, VMs live 72 s", "the VM is destroyed 0.2 s after it was given", "faketime")
def a_slow_api(world: CaseWorld) -> str:
    redis = world.redis()
    document = config(on(redis), ONE, vm_lifetime=72 / HOUR)
    api = world.service("api", document, "--role=api", clock=world.clock("api", -100))
    manager = world.service("manager", document, "--role=manager")
    api.start()
    manager.start()
    of = RedisReader(redis.socket)
    full(of, 1)
    vm = take(api)
    took = comes(lambda: vm not in there(manager), 15)
    hold(took is None, f"{vm} was destroyed {took or 0:.1f} s after it was given")
    return "it is there after 15 s"


@case("4b", "a manager's clock is an hour ahead for 6 s while clones fail", "no clone for an hour", "faketime")
def a_fast_manager(world: CaseWorld) -> str:
    return _fast(world, world.redis(), world.clock("host"))


@case("4b-host", "the same, and the Redis is on its host", "no clone for an hour", "faketime")
def a_fast_host(world: CaseWorld) -> str:
    clock = world.clock("host")
    return _fast(world, world.redis(clock=clock), clock)


def _fast(world: CaseWorld, redis: RedisServer, clock: HostClock) -> str:
    failing = config(on(redis), ONE, hypervisor={"createvm_fail_percent": 100})
    service = world.service("all", failing, clock=clock)
    clock.set(HOUR)
    service.start()
    time.sleep(6)
    service.stop()
    clock.set(0)
    (service.directory / "vmpooler.yaml").write_text(config(on(redis), ONE))
    service.start()
    took = comes(lambda: service.ready() == 1, SOON)
    hold(took is not None, f"no VM {SOON:g} s after the clock was right and clones were well")
    return f"full after {took:.0f} s"


@case("4c", "Redis's host is set back 600 s, then the leader dies", "no manager leads for ten minutes", "faketime")
def a_lease_of_the_future(world: CaseWorld) -> str:
    clock = world.clock("redis")
    redis = world.redis(clock=clock)
    of = RedisReader(redis.socket)
    leader, _ = _two_managers(world, config(on(redis), ONE), of)
    before = of.leader()
    assert leader.process is not None
    leader.process.send_signal(signal.SIGSTOP)
    clock.set(-600)
    leader.kill()
    took = comes(lambda: of.leader() not in ("", before), SOON)
    hold(took is not None, f"no manager leads after {SOON:g} s; the lease runs for {_pttl(of)} ms more")
    return f"the other leads after {took:.1f} s"


@case("4d", "the host is set back an hour while the service waits for Redis", "not there 90 s after Redis", "faketime")
def a_step_while_waiting(world: CaseWorld) -> str:
    redis = world.redis(started=False)
    clock = world.clock("host")
    service = world.service("all", config(on(redis), ONE), clock=clock)
    service.launch()
    until(lambda: "waits for Redis" in service.said or "is away" in service.said, "it waits for Redis")
    time.sleep(3)
    clock.set(-HOUR)
    time.sleep(1)
    redis.start()
    took = comes(lambda: service.ready() == 1, SOON)
    hold(took is not None, f"no VM {SOON:g} s after Redis came")
    return f"full {took:.0f} s after Redis came"


@case("4e", "the leader's clock steps back, another leads", "both say that they lead", "faketime")
def two_leases(world: CaseWorld) -> str:
    redis = world.redis()
    of = RedisReader(redis.socket)
    clocks = [world.clock("one"), world.clock("two")]
    leader, number = _two_managers(world, config(on(redis), ONE), of, clocks)
    before = of.leader()
    clocks[number].set(-60)
    both = 0
    end = time.monotonic() + WATCHED
    while time.monotonic() < end:
        other = of.leader() not in ("", before)
        both += other and _manager(leader) == "leading"
        time.sleep(0.005)
    hold(not both, f"in {both} reads the old leader says that it leads, while another holds the lease")
    hold(of.leader() == before, "a step of its clock cost the leader its lease, while it says that it leads")
    return "the leader leads on, and no other manager claims to lead"


@case(
    "4f",
    "an API an hour ahead of Redis, whose reply to a checkout is late",
    "the VM stays running without a client",
    "faketime",
)
def a_fast_api(world: CaseWorld) -> str:
    port = free_port()
    redis = world.redis("--port", str(port))
    proxy = TcpProxy({"redis": port}, world.home)
    document = config({"server": HOST, "port": proxy.ports["redis"]}, ONE)
    api = world.service("api", document, "--role=api", clock=world.clock("api", HOUR))
    manager = world.service("manager", config(on(redis), ONE), "--role=manager")
    api.start()
    manager.start()
    of = RedisReader(redis.socket)
    full(of, 1)
    before = {take(api)}  # from then on Redis has the script loaded
    (vm,) = full(of, 1)
    proxy.become("redis", "deaf")
    given: list[int] = []
    asking = Thread(target=lambda: given.append(ask(api, "POST", f"/vm/{POOL}", seconds=60).status))
    asking.start()
    asking.join(STALL)
    proxy.become("redis", "flow")
    asking.join()
    if given == [200]:
        return "the client was given it after the stall"
    hold(events_of(of, [vm], What.CHECKOUT), f"{vm} was not checked out: this run shows nothing")
    took = comes(lambda: members(of, Queue.RUNNING) == before, SOON)
    hold(took is not None, f"the client was answered {given}, and {vm} runs without a client after {SOON:g} s")
    return f"given back after {took:.0f} s"


def _two_managers(
    world: CaseWorld, document: str, of: RedisReader, clocks: list[HostClock] | None = None
) -> tuple[Service, int]:
    """Start two managers. Returns the leading one, and its number."""
    managers = []
    for number, name in enumerate(("one", "two")):
        port = free_port()
        clock = clocks[number] if clocks else None
        options = ("--role=manager", f"--health-listen={port}")
        service = world.service(name, document, *options, clock=clock)
        service.port = port
        service.start()
        managers.append(service)
    until(of.leader, "one leads")
    for number, service in enumerate(managers):
        if service.process and f"-{service.process.pid}-" in of.leader():
            return service, number
    raise AssertionError(f"none of them leads: {of.leader()}")


def _manager(service: Service) -> str:
    """Return the state that the manager of a process reports."""
    try:
        connection = HTTPConnection("127.0.0.1", service.port, timeout=3)
        connection.request("GET", "/readyz")
        body = connection.getresponse().read().decode()
        connection.close()
    except OSError as error:
        return str(error)
    return "leading" if '"leading"' in body else "standing by" if '"standing by"' in body else body[:80]


def _pttl(of: RedisReader) -> int:
    """Return the milliseconds until the lease expires."""
    return int(of.ask(("PTTL", keys.LEASE))[0])
