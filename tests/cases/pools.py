"""Kind 3: pools that are in Redis but not in the configuration."""

import time

from tests.cases.case import case
from tests.cases.evidence import NOTED
from tests.cases.world import (
    AFTER_GRACE,
    EMBEDDED,
    GRACE,
    POOL,
    CaseWorld,
    ask,
    books,
    comes,
    config,
    full,
    hold,
    log_in,
    members,
    of_vcenter,
    on_vcenter,
    pool_on_vcenter,
    served_by_vcenter,
    shown,
    take,
    there,
)
from tests.service.process import Service
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

OTHER = {"name": "other", "size": 1}
SECONDS = 36
"""Seconds that a VM of the removed pool lives: the minimum that can be set."""

DONE = 35.0
"""Seconds within which a request for a removed pool is done: a round runs within half a minute."""


def reconfigured(service: Service, document: str) -> None:
    """Stop the service, and start it with another configuration."""
    service.stop()
    (service.directory / "vmpooler.yaml").write_text(document)
    service.start()


@case("3-delete", "a pool is removed: DELETE of its VM", "answered 200, and the VM is never destroyed")
def deleted(world: CaseWorld) -> str:
    service = _removed(world, lifetime=1)
    token = log_in(service)
    vm = take(service, token)
    reconfigured(service, config(EMBEDDED, [OTHER]))
    answer = ask(service, "DELETE", f"/vm/{vm}", token=token)
    hold(answer.status == 200, f"DELETE answered {answer.status} {answer.body}")
    took = comes(lambda: vm not in there(service), DONE)
    hold(took is not None, f"answered 200, and {vm} is there after {DONE:g} s")
    return f"destroyed after {took:.0f} s"


@case("3-end", "a pool is removed: the end of a lifetime, and its ready VMs", "all live for ever, without a word")
def ended(world: CaseWorld) -> str:
    service = _removed(world, lifetime=SECONDS / 3600)
    ready = full(books(service), 2)
    vm = take(service)
    ready = full(books(service), 2)
    before = len(service.said)
    reconfigured(service, config(EMBEDDED, [OTHER]))
    hold(comes(lambda: POOL in service.said[before:], 10) is not None, f"no word of {POOL} in the log")
    early = comes(lambda: vm not in there(service), 5)
    hold(early is None, f"{vm}, which is in use, was destroyed at once")
    left = comes(lambda: not ready & there(service), DONE)
    hold(left is not None, f"{len(ready & there(service))} of 2 ready VMs are there after {DONE:g} s")
    over = comes(lambda: vm not in there(service), SECONDS + DONE)
    hold(over is not None, f"{vm} is there {SECONDS + DONE:g} s after it was given for {SECONDS} s")
    return "the ready ones are destroyed, the one in use at its end"


@case("3-disk", "a pool is removed: a disk for its VM", "answered 202, and never made")
def a_disk(world: CaseWorld) -> str:
    service = _removed(world, lifetime=1)
    token = log_in(service)
    vm = take(service, token)
    reconfigured(service, config(EMBEDDED, [OTHER]))
    answer = ask(service, "POST", f"/vm/{vm}/disk/5", token=token)
    hold(answer.status >= 400 and answer.status != 500, f"answered {answer.status} {answer.body}")
    message = answer.body.get("message") or answer.body.get("error") or answer.body.get(vm, {}).get("message")
    hold(message, f"refused with {answer.status} without a word: {answer.body}")
    return f"{answer.status}: {message}"


@case("3-renamed", "a pool is renamed, its folder stays", "its VMs live for ever or are unknown VMs", "vcsim")
def renamed(world: CaseWorld) -> str:
    service, vcenter, port = served_by_vcenter(world, 2)
    of = books(service)
    ready = full(of, 2)
    token = log_in(service)
    vm = take(service, token)
    ready = full(of, 2)
    time.sleep(NOTED)
    reconfigured(service, on_vcenter(vcenter.url, [{**pool_on_vcenter(2), "name": "trixie"}], port))
    full(of, 2, "trixie")
    time.sleep(GRACE * 60 + AFTER_GRACE)
    hold(vm in of_vcenter(vcenter), f"{vm}, which is in use, was destroyed")
    states = [event.what for event in of.events() if event.vm == vm and event.what is What.DISCOVERED]
    hold(not states, f"{vm}, which is in use, was taken for an unknown VM")
    left = comes(lambda: not (ready - members(of, Queue.READY, "trixie")) & of_vcenter(vcenter), DONE)
    hold(left is not None, f"{shown(ready & of_vcenter(vcenter))} of the old name live on")
    answer = ask(service, "DELETE", f"/vm/{vm}", token=token)
    hold(answer.status == 200, f"DELETE answered {answer.status} {answer.body}")
    took = comes(lambda: vm not in of_vcenter(vcenter), DONE)
    hold(took is not None, f"DELETE was answered 200, and {vm} is there after {DONE:g} s")
    return f"kept in use, destroyed {took:.0f} s after DELETE"


def _removed(world: CaseWorld, lifetime: float) -> Service:
    """Start a service with the pool that will be removed, and wait until that pool is full."""
    service = world.service("all", config(EMBEDDED, [{"name": POOL, "size": 2}, OTHER], vm_lifetime=lifetime))
    service.start()
    full(books(service), 2)
    return service
