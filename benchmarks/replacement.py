"""How soon something follows from what happened: a clone from a checkout, a VM in ``ready`` from a guest that is up."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.events import events
from benchmarks.redis import Redis
from benchmarks.row import Row, absent
from benchmarks.scale import Scale
from tests.load.replay import Replay, percentile
from tests.parts import PARTS
from tests.ports import free_port
from tests.service.process import Service, until
from tests.vcsim.listener import Listener
from tests.vcsim.simulator import PASSWORD, USER, Simulator, binary
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.events import Event, What

REFILL, READY, READY_VCENTER = 20.0, 100.0, 700.0
"""Milliseconds that p99 may be."""

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
"""Of so many checkouts one is made at the simulated vCenter, so many seconds after the one before. It goes through all
VMs that are watched for each change of one: with more checkouts it is the simulator that is waited for."""


def measure(scale: Scale) -> list[Row]:
    """All three."""
    with Service(DUMMY) as service:
        happened = used(service, scale.samples, PAUSE)
        file = json.loads(Path(service.directory, "dummy.yaml").read_text())
        booted = {vm["name"]: float(vm["booted"]) for vm in file["vms"]}
    ordered = Replay(happened).gaps(What.CHECKOUT, What.CLONE)
    return [
        row("refill: checkout to replacement ordered", ordered, REFILL),
        row("ready: guest up to VM ready, dummy", lags(happened, booted), READY),
        vcenter(scale),
    ]


def vcenter(scale: Scale) -> Row:
    """The same as the last, where the guests are those of a simulated vCenter."""
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
    """What happens to a service of which so many VMs are taken, one after the other, and are replaced."""
    until(lambda: service.ready(POOL) == SIZE, "the pool is full", 90)
    with Redis(str(service.redis_socket)) as redis:
        before = len(events(redis))
        for _ in range(checkouts):
            service.request("POST", f"/vm/{POOL}")
            time.sleep(pause)
        until(lambda: service.ready(POOL) == SIZE, "the pool is full again", 90)
        return events(redis)[before:]


def lags(happened: Sequence[Event], booted: Mapping[str, float]) -> list[float]:
    """Seconds from a guest's being up until its VM was ready."""
    return [event.when - booted[event.vm] for event in happened if event.what is What.READY and event.vm in booted]


def row(what: str, seconds: Sequence[float], most: float) -> Row:
    """The line of one."""
    p50, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.99))
    told = f"p99 {p99:.0f} ms (p50 {p50:.0f}) of {len(seconds)}"
    return Row(what, told, target=f"p99 below {most:g} ms", met=p99 < most, figures={"p99": p99, "p50": p50})
