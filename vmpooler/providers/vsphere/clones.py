"""Clones in progress, from the order until the VM is listed or the clone is known to have failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import attrs
from pyVmomi import vim
from twisted.logger import Logger

from vmpooler.deferreds import Signal, Slots
from vmpooler.domain.guest import Guest
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import inventory_lookup, operations, specs
from vmpooler.providers.vsphere.clone_targets import CloneTargets
from vmpooler.providers.vsphere.errors import Away, Doubtful, Refused
from vmpooler.providers.vsphere.executor import LOGIN_TIMEOUT, Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.session import Session, Spec
from vmpooler.providers.vsphere.stamp import is_ours, stamped
from vmpooler.providers.vsphere.template_layers import TemplateLayers
from vmpooler.settings import Pool

log = Logger()

LISTED_TIMEOUT = 30.0
"""Seconds within which a VM must be listed after its clone is done."""

CHECK_INTERVAL = 1.0
"""Seconds between two checks of a clone whose outcome is not known."""

LATE_ARRIVAL = 5.0
"""Seconds within which an order whose answer was lost may still arrive at the vCenter."""


@attrs.define(eq=False)
class Order:
    """A clone that was ordered.

    ``unwanted``: its VM must be destroyed as soon as it exists. ``ended`` is sent when it has succeeded or failed.
    """

    pool: Pool
    name: str
    place: Place
    unwanted: bool = False
    ended: Signal[None] = attrs.field(factory=Signal)


class Clones:
    """Clones VMs.

    ``slots``: how many at once. ``layers``: prepares templates for linked clones first; None for no preparation.
    """

    def __init__(
        self,
        cache: InventoryCache,
        executor: Executor,
        targets: CloneTargets,
        layers: TemplateLayers | None,
        slots: int,
        reactor: Any,
        wall: Callable[[], float],
    ) -> None:
        self._layers = layers
        self._cache = cache
        self._executor = executor
        self._targets = targets
        self._slots = Slots(slots)
        self._reactor = reactor
        self._wall = wall
        self._orders: dict[str, Order] = {}

    def order(self, name: str) -> Order | None:
        """Return the clone of that name if it is in progress, or None."""
        return self._orders.get(name)

    def guests(self, place: Place) -> Iterator[Guest]:
        """Return the VMs that are being cloned to that place."""
        return (
            Guest(each.name, cloning=True, powered_on=False) for each in self._orders.values() if each.place == place
        )

    async def make(self, pool: Pool, name: str, place: Place) -> None:
        """Clone a VM, and return when it is listed. Raises ProviderError."""
        if name in self._orders or self._cache.vm(name, place) is not None:
            raise ProviderError(f"there is a VM called {name} already")
        self._orders[name] = order = Order(pool, name, place)
        try:
            async with self._slots:
                if not order.unwanted:
                    await self._make(order)
        finally:
            del self._orders[name]
            order.ended.send(None)
        if order.unwanted:
            raise ProviderError(f"{name} was destroyed while it was being cloned")

    async def _make(self, order: Order) -> None:
        try:
            await self._executor.steadily(lambda: self._order(order))
        except Doubtful as doubt:
            log.warn("[!] [{pool}] '{vm}' may have been cloned or not: {why}", **_names(order), why=doubt)
            await self._await_outcome(order, doubt)
        await self._await_listed(order)

    async def _order(self, order: Order) -> None:
        try:
            await self._send(order)
        except ProviderError:
            self._targets.forget()  # an outdated target may be the cause
            raise

    async def _send(self, order: Order) -> None:
        pool, name = order.pool, order.name
        session, folder = self._cache.now.session, self._cache.folder(order.place)
        home = inventory_lookup.datacenter(session, order.place[0])
        target = await self._targets.of(pool, home)
        if self._layers and pool.create_linked_clone:
            await self._layers.add(target.source, pool.template)
        refs = (folder, target.source, target.pool, target.host, target.datastore)
        if not (self._cache.is_on(session) and session.owns(*refs)):
            raise Refused(f"the clone of {pool.template}: the connection was lost before")
        spec = specs.clone(
            name=name,
            annotation=stamped(pool.name, name, self._wall(), pool.template),
            linked=pool.create_linked_clone,
            pool=target.pool,
            host=target.host,
            datastore=target.datastore,
        )
        await self._executor.task(
            f"the clone of {pool.template}",
            lambda _: target.source.CloneVM_Task(folder=folder, name=name, spec=spec),
        )

    async def _await_outcome(self, order: Order, doubt: Doubtful) -> None:
        """Wait for the outcome of a clone whose answer was lost; return when its VM exists and is powered on.

        Raises ProviderError when the VM will not be completed, or when this is still not known after the pool's
        ``timeout``.
        """
        end, unseen = self._reactor.seconds() + order.pool.timeout * 60, None
        while self._reactor.seconds() < end:
            try:
                await self._cache.connected(LOGIN_TIMEOUT)
                others = await self._executor.read("the tasks of vCenter", self._are_others_cloning)
                vm = self._cache.vm(order.name, order.place)
                if vm is not None:
                    vm = await self._executor.read(f"the VM {order.name}", partial(operations.read_vm, vm=vm.ref))
            except ProviderError:
                if self._cache.is_stopped:
                    raise
                unseen = None
            else:
                if vm is not None and vm.guest.powered_on and is_ours(vm.guest.stamp, order.name):
                    log.info("[*] [{pool}] '{vm}' has been cloned after all", **_names(order))
                    return
                now = self._reactor.seconds()
                unseen = None if others else unseen or now
                if unseen and now - unseen >= LATE_ARRIVAL:
                    raise ProviderError(f"{doubt}; the VM {'is not complete' if vm else 'has not come'}")
            await self._cache.until(lambda: self._cache.is_stopped, CHECK_INTERVAL)
        raise ProviderError(f"{doubt}; it is still not known what came of it")

    def _are_others_cloning(self, session: Session) -> bool:
        """Return whether clones are queued or running that no caller in this process waits for."""
        through = Spec.TraversalSpec(name="recent", type=vim.TaskManager, path="recentTask", skip=False)
        wanted = {vim.Task: ["info.state", "info.descriptionId"]}
        found = session.read([session.content.taskManager], wanted, [through])
        return any(
            facts.get("info.descriptionId") == "VirtualMachine.clone"
            and facts.get("info.state") in ("queued", "running")
            and not self._cache.is_open(task)
            for task, facts in found.items()
        )

    async def _await_listed(self, order: Order) -> None:
        while True:
            try:
                await self._cache.connected(LOGIN_TIMEOUT)
                if await self._cache.until(lambda: self._cache.vm(order.name, order.place) is not None, LISTED_TIMEOUT):
                    return
            except Away:
                if self._cache.is_stopped:
                    raise
                continue
            raise ProviderError(f"{order.name} was cloned and is not in folder {order.place[1]}")


def _names(order: Order) -> dict[str, str]:
    return {"pool": order.pool.name, "vm": order.name}
