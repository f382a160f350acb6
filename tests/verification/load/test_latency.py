"""The delay from an event to its consequence, printed; it is far below a second."""

import json
from pathlib import Path

import pytest
import treq
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.web.client import HTTPConnectionPool

from tests.service.process import Service
from tests.verification.load.replay import EventReplay, percentile
from vmpooler.domain.events import What

CONFIG = """
config: {prefix: vm-, task_limit: 30}
redis: {server: embedded}
providers: {dummy: {filename: dummy.yaml, createvm_max_time: 0.3, bootvm_max_time: 0.3}}
pools: [{name: debian-12, template: t/debian, folder: f/debian, size: 20}]
"""

CHECKOUTS = 200
CLOCKS_DIFFER = 0.01
"""Seconds by which a consequence may seem to precede its cause, because times of two clocks are compared."""

BOUND = 2.0
"""Seconds: several times the delay on a slow machine, and far below any poll interval."""


@pytest.mark.alone
@pytest.mark.limit(90)
async def test_a_replacement_is_ordered_and_a_booted_vm_is_ready_without_waiting_for_a_poll(tmp_path: Path) -> None:
    with Service(CONFIG, directory=tmp_path) as service:
        await service.full()
        before = len(await service.events())
        pool = HTTPConnectionPool(reactor, persistent=True)
        for _ in range(CHECKOUTS):
            await treq.content(await treq.post(f"{service.url}/vm/debian-12", pool=pool))
            await deferLater(reactor, 0.02)
        await pool.closeCachedConnections()
        await service.full()
        replay = EventReplay((await service.events())[before:])
        ordered = replay.gaps(What.CHECKOUT, What.CLONE)
        booted = {vm["name"]: vm["booted"] for vm in json.loads((tmp_path / "dummy.yaml").read_text())["vms"]}
        ready = [event.when - booted[event.vm] for event in replay.events if event.what is What.READY]
        assert min(len(ordered), len(ready)) >= CHECKOUTS * 0.9
        for what, seconds in (("checkout -> replacement ordered", ordered), ("booted -> ready", ready)):
            p50, p99 = (1000 * percentile(seconds, share) for share in (0.5, 0.99))
            print(f"\n{what}: {len(seconds)} times, median {p50:.1f} ms, p99 {p99:.1f} ms", end="")
            assert min(seconds) > -CLOCKS_DIFFER
            assert p99 < 1000 * BOUND
