"""A process that may not give orders sends none. Work that was already started waits for the permission."""

import random
from threading import Event

import pytest
from pyVmomi import vim
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater

from tests.providers.vsphere.case import VsphereCase, clock
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.errors import Doubtful
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.provider import START_TIMEOUT, VsphereProvider
from vmpooler.providers.vsphere.session import Ref, Session

pytestmark = [pytest.mark.needs("vcsim"), pytest.mark.limit(90)]


class Permission:
    """Returns whether orders may be given."""

    given = False

    def __call__(self) -> bool:
        return self.given


def another(case: VsphereCase, may_order: Permission) -> VsphereProvider:
    """Return a second provider on the same vCenter."""
    pools = [case.pool, case.other_pool]
    return VsphereProvider(case.settings, case.general, pools, clock, clock.seconds, random.Random(2), may_order)


async def test_without_permission_it_sees_everything_and_orders_nothing(case: VsphereCase) -> None:
    await case.provider.clone(case.pool, "one")
    may_order = Permission()
    standby = another(case, may_order)
    assert standby.trouble()
    await standby.prepare()
    assert standby.trouble() == ""
    try:
        assert list(await standby.inventory(case.pool)) == ["one"]
        clone = ensureDeferred(standby.clone(case.pool, "two"))
        destruction = ensureDeferred(standby.destroy(case.pool, "one"))
        await deferLater(clock, 1)
        assert case.vcenter.names(case.pool.folder) == ["one"]
        may_order.given = True
        await standby.start()
        await clone
        await destruction
        assert case.vcenter.names(case.pool.folder) == ["two"]
    finally:
        await standby.stop()


async def test_who_is_prepared_starts_at_once_though_the_vcenter_has_gone(case: VsphereCase) -> None:
    standby = another(case, Permission())
    await standby.prepare()
    case.cut_off()
    await case.until(lambda: says_why(standby))
    start = clock.seconds()
    await standby.start()
    assert clock.seconds() - start < START_TIMEOUT / 2
    await standby.stop()


async def says_why(provider: VsphereProvider) -> bool:
    return bool(provider.trouble())


async def test_what_waits_for_permission_when_the_provider_stops_is_never_ordered(case: VsphereCase) -> None:
    may_order = Permission()
    old = another(case, may_order)
    await old.start()
    clone = ensureDeferred(old.clone(case.pool, "one"))
    await deferLater(clock, 0.5)
    await old.stop()
    with pytest.raises(ProviderError):
        await clone
    may_order.given = True
    await deferLater(clock, 0.5)
    assert case.simulator.calls().get("CloneVM_Task", 0) == 0
    assert case.vcenter.names(case.pool.folder) == []


async def test_an_order_whose_answer_comes_after_the_stop_ends(case: VsphereCase) -> None:
    """Otherwise it would wait for ever for a thread that has ended, and all that wait for it."""
    cache = InventoryCache(case.settings, [], clock, random.Random(3), lambda place: None)
    executor = Executor(cache, 1, clock)
    executor.start()
    cache.start()
    sending, answered = Event(), Event()

    def order(_: Session) -> Ref:
        sending.set()
        answered.wait(10)
        return vim.Task("task-1")

    try:
        await cache.connected(10)
        task = ensureDeferred(executor.task("an order", order))
        while not sending.is_set():
            await deferLater(clock, 0.01)
    finally:
        cache.stop()
        executor.stop()
    answered.set()
    for _ in range(500):
        if task.called:
            break
        await deferLater(clock, 0.01)
    assert task.called
    with pytest.raises(Doubtful, match="the connection was lost"):
        await task
