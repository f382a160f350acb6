"""Measures delays: from a checkout to the order of its replacement, from a booted guest to its VM in ``ready``."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.events import events
from benchmarks.redis import RedisConnection
from benchmarks.row import ResultRow, absent
from benchmarks.scale import Scale
from tests.parts import PARTS
from tests.ports import free_port
from tests.service.process import Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from tests.verification.load.replay import EventReplay, percentile
from vmpooler.domain.events import Event, What

REFILL, READY, READY_VCENTER = 20.0, 100.0, 700.0
"""Targets of p99, in milliseconds."""

POOL = "debian-12"

SIZE = 20

PAUSE = 0.03
"""Seconds between two checkouts."""

DUMMY = f"""
config: {{prefix: vm-, task_limit: 30}}
redis: {{server: embedded}}
providers: {{dummy: {{filename: dummy.yaml, createvm_max_time: 0.3, bootvm_max_time: 0.3}}}}
pools: [{{name: {POOL}, size: {SIZE}}}]
"""

VSPHERE = """
config: {{prefix: vm-, task_limit: 30, clone_target: DC0_C0}}
redis: {{server: embedded}}
providers: {{vsphere: {{server: "{server}", username: {user}, password: {password}}}}}
pools:
  - {{name: {pool}, size: {size}, template: templates/base, folder: pools/{pool},
     datastore: LocalDS_1, probe_port: {port}}}
"""

BOOT = 0.2
"""Seconds that a guest of the simulated vCenter takes to boot."""

VCENTER_TAKES, VCENTER_PAUSE = 10, 1.0
"""With the simulated vCenter, only one of ten checkouts is made, with a pause of one second between two.

The simulator goes through all watched VMs for each change of one. With more checkouts the simulator would be the
bottleneck.
"""


def measure(scale: Scale) -> list[ResultRow]:
    """Return the three rows."""
    with Service(DUMMY) as service:
        happened = used(service, scale.samples, PAUSE)
        file = json.loads(Path(service.directory, "dummy.yaml").read_text())
        booted = {vm["name"]: float(vm["booted"]) for vm in file["vms"]}
    ordered = EventReplay(happened).gaps(What.CHECKOUT, What.CLONE)
    return [
        row("refill: checkout to replacement ordered", ordered, REFILL),
        row("ready: guest up to VM ready, dummy", lags(happened, booted), READY),
        vcenter(scale),
    ]


def vcenter(scale: Scale) -> ResultRow:
    """Measure from a booted guest to its ready VM, with the guests of a simulated vCenter."""
    what = "ready: guest up to VM ready, simulated vCenter"
    if not PARTS["vcsim"].is_there():
        return absent(what, f"p99 below {READY_VCENTER:g} ms", "needs Go and govmomi")
    binary()
    simulator, port = Simulator(boot=f"{BOOT}s"), free_port()
    simulator.start()
    try:
        admin = Vcenter(simulator)
        admin.prepare("templates/base", f"pools/{POOL}")
        known = {"server": simulator.url, "user": USER, "password": PASSWORD, "pool": POOL, "size": SIZE, "port": port}
        with Listener(port), Service(VSPHERE.format(**known)) as service:
            happened = used(service, max(1, scale.samples // VCENTER_TAKES), VCENTER_PAUSE)
            booted = {vm.name: vm.runtime.bootTime.timestamp() + BOOT for vm in admin.vms(f"pools/{POOL}")}
        admin.close()
    finally:
        simulator.remove()
    return row(what, lags(happened, booted), READY_VCENTER)


def used(service: Service, checkouts: int, pause: float) -> Sequence[Event]:
    """Check out this number of VMs, one after the other, wait until they are replaced, and return the events."""
    until(lambda: service.ready(POOL) == SIZE, "the pool is full", 90)
    with RedisConnection(str(service.redis_socket)) as redis:
        before = len(events(redis))
        for _ in range(checkouts):
            service.request("POST", f"/vm/{POOL}")
            time.sleep(pause)
        until(lambda: service.ready(POOL) == SIZE, "the pool is full again", 90)
        return events(redis)[before:]


def lags(happened: Sequence[Event], booted: Mapping[str, float]) -> list[float]:
    """Return the seconds from the boot of each guest until its VM was ready."""
    return [event.when - booted[event.vm] for event in happened if event.what is What.READY and event.vm in booted]


def row(what: str, seconds: Sequence[float], most: float) -> ResultRow:
    """Return the row of one delay."""
    p50, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.99))
    latency = f"p99 {p99:.0f} ms (p50 {p50:.0f}) of {len(seconds)}"
    return ResultRow(what, latency, target=f"p99 below {most:g} ms", met=p99 < most, figures={"p99": p99, "p50": p50})
