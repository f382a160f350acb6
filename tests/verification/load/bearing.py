"""The clone rate of a service on a simulated vCenter that slows down above a number of concurrent clones."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.events import events
from benchmarks.redis import RedisConnection
from tests.service.process import Service
from tests.vcsim.simulator import PASSWORD, USER, Simulator
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.events import What

POOL = "debian-12"

CONFIG = f"""
config: {{{{prefix: vm-, task_limit: {{limit}}, clone_target: DC0_C0}}}}
redis: {{{{server: embedded}}}}
providers: {{{{vsphere: {{{{server: "{{server}}", username: {USER}, password: {PASSWORD}, max_clones: 100}}}}}}}}
pools: [{{{{name: {POOL}, size: 1000, template: templates/base, folder: pools/{POOL}, datastore: LocalDS_1}}}}]
"""


def rate(limit: str, bears: str, alone: float, warm: float, seconds: float) -> float:
    """Return the clones per second under a ``task_limit``, measured from ``warm`` seconds after the first clone order.

    A clone takes ``alone`` seconds while no more run than the vCenter ``bears`` (README.md of tests/vcsim).
    """
    with filling(limit, bears, alone) as redis:
        began = time.monotonic()
        time.sleep(warm + seconds)
        took, happened = time.monotonic() - began - warm, events(redis)
    first = min(event.when for event in happened if event.what is What.CLONE)
    done = [event.when - first for event in happened if event.what is What.CLONED]
    return sum(warm < when <= warm + took for when in done) / took


@contextmanager
def filling(limit: str, bears: str, alone: float) -> Iterator[RedisConnection]:
    """Run a service that fills a pool on the simulated vCenter; its guests never boot. Yields its Redis."""
    simulator = Simulator(boot="-1s")
    simulator.start()
    try:
        admin = Vcenter(simulator)
        admin.prepare("templates/base", f"pools/{POOL}")
        admin.close()
        simulator.control(delay=f"CloneVM_Task:{1000 * alone:.0f}", bear=bears)
        with (
            Service(CONFIG.format(limit=limit, server=simulator.url)) as service,
            RedisConnection(str(service.redis_socket)) as redis,
        ):
            yield redis
    finally:
        simulator.remove()
