"""Kind 1: the store is trusted although the provider or a record contradicts it."""

import shutil
import signal
import time
from collections.abc import Collection

from tests.cases.case import case
from tests.cases.world import (
    AFTER_GRACE,
    EMBEDDED,
    FULL,
    GRACE,
    POOL,
    CaseWorld,
    ask,
    books,
    comes,
    config,
    events_of,
    full,
    hold,
    log_in,
    members,
    of_vcenter,
    on,
    served_by_vcenter,
    shown,
    take,
    taken,
    there,
    without,
)
from tests.service.process import Service, until
from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue
from vmpooler.store import keys

NOTED = 2.0
"""Seconds within which the stamp of a VM follows its checkout."""


def back_up(service: Service) -> None:
    """Make a backup as docs/operations.md describes: stop the service and copy the directory."""
    service.stop()
    shutil.copytree(service.directory / ".vmpooler", service.directory / "backup")
    service.start()


def put_back(service: Service) -> None:
    """Stop the service, replace its directory with the copy, and start it again."""
    service.stop()
    shutil.rmtree(service.directory / ".vmpooler")
    shutil.copytree(service.directory / "backup", service.directory / ".vmpooler")
    service.start()


def no_client_gets(service: Service, held: Collection[str], seconds: float, tries: int) -> int:
    """Request VMs until ``tries`` were given or the time is over. Returns how many were given. Fails when one of them
    belongs to another client."""
    given: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(given) < tries:
        if vm := taken(service):
            given.append(vm)
        else:
            time.sleep(0.2)
    twice = set(given) & set(held)
    hold(not twice, f"{len(twice)} of {len(held)} were given to a second client: {shown(twice)}")
    return len(given)


def still_had(service: Service, of: RedisReader, held: Collection[str]) -> None:
    """Fail unless all of these VMs are at the simulated hypervisor and stand in running."""
    gone = set(held) - there(service)
    hold(not gone, f"{len(gone)} of {len(held)} in use were destroyed: {shown(gone)}")
    comes(lambda: set(held) <= members(of, Queue.RUNNING), FULL)
    gone = set(held) - there(service)
    hold(not gone, f"{len(gone)} of {len(held)} in use were destroyed: {shown(gone)}")
    lost = set(held) - members(of, Queue.RUNNING)
    hold(not lost, f"{len(lost)} of {len(held)} in use do not stand in running: {shown(lost)}")


@case("1a", "backup put back: 12 VMs were ready, all taken since", "a client gets 3 that another has")
def an_old_backup(world: CaseWorld) -> str:
    service = world.service("all", config(EMBEDDED, [{"name": POOL, "size": 12}]))
    service.start()
    full(books(service), 12)
    back_up(service)
    token = log_in(service)
    held = [take(service, token if number % 2 else "") for number in range(12)]
    full(books(service), 12)
    time.sleep(NOTED)
    put_back(service)
    given = no_client_gets(service, held, 12, tries=6)
    time.sleep(GRACE * 60)
    still_had(service, books(service), held)
    return f"12 of 12 kept, {given} others were given"


@case("1a-one", "backup put back: a pool of one, V0 and V1 taken since", "V1 is destroyed, V0 given to a second client")
def an_old_backup_of_one(world: CaseWorld) -> str:
    service = world.service("all", config(EMBEDDED, [{"name": POOL, "size": 1}]))
    service.start()
    full(books(service), 1)
    back_up(service)
    held = [take(service, log_in(service, user)) for user in ("ann", "bob")]
    full(books(service), 1)
    time.sleep(NOTED)
    put_back(service)
    given = no_client_gets(service, held, GRACE * 60 + AFTER_GRACE, tries=1)
    time.sleep(GRACE * 60 + AFTER_GRACE)
    still_had(service, books(service), held)
    return f"V0 and V1 kept, {given} other was given"


@case("1b", "the host of a VM in use leaves for longer than the grace", "completed, then destroyed", "vcsim")
def a_host_that_leaves(world: CaseWorld) -> str:
    service, vcenter, _ = served_by_vcenter(world, 2)
    of = books(service)
    full(of, 2)
    vm = take(service, log_in(service))
    full(of, 2)
    time.sleep(NOTED)
    with without(vcenter, lambda name: name == vm):
        for _ in range(3):
            time.sleep(GRACE * 60 + 1)
            take(service)  # wakes the pool; otherwise its next round takes up to half a minute
        time.sleep(1)
        ends = events_of(of, [vm], What.COMPLETED)
        hold(not ends, f"{vm} was completed while it was away: {ends[0].why if ends else ''}")
    for _ in range(2):
        time.sleep(GRACE * 60 + 1)
        take(service)
    time.sleep(3)
    hold(vm in of_vcenter(vcenter), f"{vm} was destroyed when it was back")
    state = ask(service, "GET", f"/vm/{vm}").body.get(vm, {}).get("state")
    hold(state == "running", f"{vm} is {state} when it is back")
    return "kept while it was away, running when it is back"


@case("1c", "vmpooler__running__ of a pool is lost", "its VMs in use are destroyed after the grace")
def a_lost_queue(world: CaseWorld) -> str:
    service = world.service("all", config(EMBEDDED, [{"name": POOL, "size": 6}]))
    service.start()
    of = books(service)
    full(of, 6)
    held = [take(service, log_in(service)), take(service)]
    full(of, 6)
    time.sleep(NOTED)
    of.ask(("DEL", keys.queue(Queue.RUNNING, POOL)))
    extra = take(service)  # wakes the pool; otherwise its next round takes up to half a minute
    time.sleep(GRACE * 60 + AFTER_GRACE)
    still_had(service, of, [*held, extra])
    return "restored to running"


@case("1d", "all ready VMs are missing for a moment, within the grace", "12 of 12 are completed at once", "vcsim")
def many_missing(world: CaseWorld) -> str:
    service, vcenter, _ = served_by_vcenter(world, 12, discovered_grace=10)
    of = books(service)
    ready = full(of, 12)
    with without(vcenter, lambda name: name in ready):
        time.sleep(6)
    comes(lambda: events_of(of, ready, What.COMPLETED), 8)
    ends = events_of(of, ready, What.COMPLETED)
    hold(not ends, f"{len({event.vm for event in ends})} of 12 were completed: {ends[0].why if ends else ''}")
    left = ready & of_vcenter(vcenter)
    hold(left == ready, f"{12 - len(left)} of 12 were destroyed when they were back")
    again = comes(lambda: ready <= members(of, Queue.READY), FULL)
    hold(again is not None, f"{len(ready - members(of, Queue.READY))} of 12 are not ready again")
    return "none was completed, 12 of 12 are ready again"


@case("1e", "a VM stands in ready and in running", "it is given to a second client")
def a_vm_in_two_queues(world: CaseWorld) -> str:
    redis = world.redis()
    document = config(on(redis), [{"name": POOL, "size": 1}])
    api, manager = (world.service(role, document, f"--role={role}") for role in ("api", "manager"))
    api.start()
    manager.start()
    of = RedisReader(redis.socket)
    (vm,) = full(of, 1)
    assert manager.process is not None
    manager.process.send_signal(signal.SIGSTOP)
    of.ask(("SADD", keys.queue(Queue.RUNNING, POOL), vm))
    given = [taken(api) for _ in range(3)]
    hold(vm not in given, f"{vm} was given")
    manager.process.send_signal(signal.SIGCONT)
    until(lambda: vm not in members(of, Queue.READY), "it leaves ready", FULL)
    hold(vm in members(of, Queue.RUNNING), f"{vm} left running")
    return "refused until the round settled it as running"
