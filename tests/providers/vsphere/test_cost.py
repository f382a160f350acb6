"""Costs of the provider: calls to the vCenter, counted there, and delayed turns of the reactor."""

import gc
import time
from collections.abc import Iterator
from itertools import pairwise

import attrs
import pytest
from twisted.internet.defer import DeferredList, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater

from tests.providers.vsphere.case import TEMPLATE, VsphereCase, clock
from tests.vcsim.simulator import Simulator

pytestmark = [pytest.mark.needs("vcsim"), pytest.mark.limit(150)]


@pytest.fixture
def simulators(vcsim: None) -> Iterator[list[Simulator]]:
    """Two running vCenters."""
    found = [Simulator(net=net) for net in ("127.1", "127.2")]
    for each in found:
        each.start()
    yield found
    for each in found:
        each.remove()


async def filled(simulator: Simulator, count: int) -> VsphereCase:
    """Return a provider whose pool has ``count`` VMs, all of them booted."""
    case = VsphereCase(simulator, max_clones=20)
    for number in range(count):
        case.vcenter.make(TEMPLATE, case.pool.folder, f"vm-{number}")
    await deferLater(clock, 1)
    await case.start()
    await booted(case, count)
    await deferLater(clock, 1)
    return case


async def test_two_hundred_vms_at_rest_cost_as_many_calls_as_twenty(simulators: list[Simulator]) -> None:
    cases = [await filled(simulator, count) for simulator, count in zip(simulators, (20, 200), strict=True)]
    for simulator in simulators:
        simulator.control(reset="")
    seconds = 45
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for case in cases:
            for guest in list((await case.provider.inventory(case.pool)).values())[:5]:
                await case.provider.probe(case.pool, guest)
        await deferLater(clock, 1)
    calls = [sum(simulator.calls().values()) * 60 / seconds for simulator in simulators]
    print(f"calls a minute: {calls[0]:g} with 20 VMs at rest, {calls[1]:g} with 200")
    assert max(calls) < 30
    assert abs(calls[0] - calls[1]) <= 60 / seconds, "the same, but for where the minute begins"
    for case in cases:
        await case.stop()


async def test_a_clone_costs_a_few_calls_alone_and_fewer_in_company(simulators: list[Simulator]) -> None:
    case = VsphereCase(simulators[0], max_clones=20)
    await case.start()
    case.simulator.control(reset="", delay="CloneVM_Task:2000")
    pool = attrs.evolve(case.pool, clone_target="DC0_C0", datastore="LocalDS_1")
    await case.provider.clone(pool, "alone")
    await booted(case, 1)
    alone = case.simulator.calls()
    case.simulator.control(reset="")
    await DeferredList([ensureDeferred(case.provider.clone(pool, f"vm-{number}")) for number in range(20)])
    await booted(case, 21)
    together = case.simulator.calls()
    print(f"calls a clone: {sum(alone.values())} alone {alone}, {sum(together.values()) / 20:g} of twenty {together}")
    assert sum(alone.values()) <= 10
    assert sum(together.values()) <= 6 * 20
    await case.stop()


async def booted(case: VsphereCase, count: int) -> None:
    async def are_up() -> bool:
        seen = (await case.provider.inventory(case.pool)).values()
        return len([guest for guest in seen if guest.address]) == count

    await case.until(are_up)


@pytest.mark.alone
async def test_the_reactor_keeps_its_beat_while_two_hundred_vms_are_watched_and_clones_run(
    simulators: list[Simulator],
) -> None:
    case = await filled(simulators[0], 200)
    case.simulator.control(delay="CloneVM_Task:500")
    beats: list[float] = []
    beat = LoopingCall(lambda: beats.append(time.perf_counter()))
    beat.start(0.01)
    for turn in range(3):
        names = [f"new-{turn}-{number}" for number in range(10)]
        await DeferredList([ensureDeferred(case.provider.clone(case.pool, name)) for name in names])
        await DeferredList([ensureDeferred(case.provider.destroy(case.pool, name)) for name in names])
    beat.stop()
    late = sorted(1000 * (after - before) for before, after in pairwise(beats))
    p99 = late[int(len(late) * 0.99)]
    print(f"a beat of 10 ms over {beats[-1] - beats[0]:.1f} s: p99 {p99:.1f} ms, at most {late[-1]:.1f} ms")
    assert p99 < 100
    await case.stop()


@pytest.mark.alone
async def test_answers_leave_nothing_to_the_garbage_collector(simulators: list[Simulator]) -> None:
    case = await filled(simulators[0], 50)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            assert await case.provider.find(case.pool, "nobody") is None
        left = gc.collect()
    finally:
        gc.enable()
    print(f"objects in cycles after 20 answers about 50 VMs: {left}")
    assert left < 20 * 50
    await case.stop()
