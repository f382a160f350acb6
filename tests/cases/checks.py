"""Kind 7: a single check of a VM is trusted."""

import time
from contextlib import closing

from tests.cases.case import case
from tests.cases.world import (
    EMBEDDED,
    POOL,
    CaseWorld,
    books,
    comes,
    config,
    events_of,
    full,
    hold,
    members,
    of_vcenter,
    probe_port,
    served_by_vcenter,
    take,
)
from tests.vcsim.listener import Listener
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

CHECKED = 6.0
"""Seconds between two checks of a ready VM."""

AWAY = 1.5
"""Seconds that the network of the service is down."""

SOON = 45.0
"""Seconds within which a VM that is off is switched on or replaced; its pool's timeout is 15 minutes."""


@case("7a", "the service's own network is away when ready VMs are checked", "10 of 10 are destroyed within a second")
def no_network(world: CaseWorld) -> str:
    port = probe_port()
    pools = [{"name": name, "size": 6, "probe_port": port} for name in (POOL, "other")]
    document = config(EMBEDDED, pools, hypervisor={"tcp_probe": True}, vm_checktime=CHECKED / 60)
    service = world.service("all", document)
    of = books(service)
    with Listener(port):
        service.start()
        for pool in (POOL, "other"):
            full(of, 6, pool)
        time.sleep(CHECKED + 1)
    ready = {vm for pool in (POOL, "other") for vm in members(of, Queue.READY, pool)}
    taken = {take(service, pool=pool) for pool in (POOL, "other")}  # wakes the pools
    time.sleep(AWAY)
    with Listener(port):
        comes(lambda: events_of(of, ready - taken, What.COMPLETED), 15)
        ended = {event.vm for event in events_of(of, ready - taken, What.COMPLETED)}
        hold(not ended, f"{len(ended)} of {len(ready - taken)} were completed")
        for pool in (POOL, "other"):
            full(of, 6, pool)
    return f"{len(ready - taken)} of {len(ready - taken)} kept"


@case("7b", "a pending VM is off after its clone", "the pool waits for the whole timeout", "vcsim")
def off_after_its_clone(world: CaseWorld) -> str:
    service, vcenter, _ = served_by_vcenter(world, 1, boot="4000ms")
    of = books(service)
    comes(lambda: of_vcenter(vcenter), 20)
    with closing(Vcenter(vcenter)) as administrator:
        (vm,) = administrator.names(f"pools/{POOL}")
        machine = administrator.find(f"pools/{POOL}/{vm}")
        comes(lambda: machine.runtime.powerState == "poweredOn", 10)
        administrator.ask(machine.PowerOffVM_Task())
    hold(vm not in members(of, Queue.READY), f"{vm} was ready before it was off: this run shows nothing")
    took = comes(lambda: len(members(of, Queue.READY)) == 1, SOON)
    hold(took is not None, f"{vm} is off, and no VM is ready after {SOON:g} s")
    how = "switched on" if vm in members(of, Queue.READY) else "replaced"
    return f"{how}, ready after {took:.0f} s"
