"""A vCenter as a provider: every method is a coroutine on the reactor; nothing here blocks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.logger import Logger

from vmpooler.deferreds import shield
from vmpooler.domain.guest import Guest, Holder
from vmpooler.providers.base import Listener, NoAnswer, ProviderError
from vmpooler.providers.reach import reach
from vmpooler.providers.vsphere import inventory_lookup
from vmpooler.providers.vsphere.clone_targets import CloneTargets
from vmpooler.providers.vsphere.clones import Clones
from vmpooler.providers.vsphere.destructions import Destructions
from vmpooler.providers.vsphere.errors import reason
from vmpooler.providers.vsphere.executor import Executor
from vmpooler.providers.vsphere.inventory_cache import InventoryCache
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.settings import Vsphere
from vmpooler.providers.vsphere.template_layers import TemplateLayers
from vmpooler.providers.vsphere.vms import UPDATE_TIMEOUT, VsphereVms
from vmpooler.settings import General, Pool

log = Logger()

START_TIMEOUT = 10.0
"""Seconds that a start waits for the vCenter; after that the provider starts without a connection."""

LOGOUT_TIMEOUT = 2.0
"""Seconds that logging out may take."""


class VsphereProvider:
    """The VMs of some pools at one vCenter."""

    def __init__(
        self,
        settings: Vsphere,
        general: General,
        pools: Iterable[Pool],
        reactor: Any,
        wall: Callable[[], float],
        chance: random.Random,
        may_order: Callable[[], bool] = lambda: True,
    ) -> None:
        self._settings = settings
        self._general = general
        self._reactor = reactor
        self._listeners: list[Listener] = []
        self._pools: dict[Place, list[str]] = {}
        for pool in pools:
            self._pools.setdefault(self._place(pool), []).append(pool.name)
        self._cache = InventoryCache(settings, list(self._pools), reactor, chance, self._changed)
        self._executor = Executor(self._cache, settings.threads, reactor, may_order)
        self._targets = targets = CloneTargets(self._cache, self._executor, reactor, general.utilization_limit / 100)
        self._layers = TemplateLayers(self._executor)
        layers = self._layers if general.create_template_delta_disks else None
        self._clones = Clones(self._cache, self._executor, targets, layers, settings.max_clones, reactor, wall)
        self._vms = VsphereVms(self._cache, self._executor, self._clones, settings.max_changes)
        self._destructions = Destructions(
            self._cache, self._executor, self._clones, self._vms, settings.max_destroys, general.destroy_foreign
        )
        self._running = False

    async def prepare(self) -> None:
        """Connect and watch the folders.

        Raises ProviderError when the vCenter refuses the login or its certificate is not trusted.
        """
        if not (self._running or self._cache.is_stopped):
            self._running = True
            self._executor.start()
            self._cache.start()
        try:
            await self._cache.until(lambda: self._cache.is_connected or self._cache.is_hopeless, START_TIMEOUT)
        finally:
            self._cache.is_starting = False
            if self._cache.is_hopeless:
                await self.stop()
        if (error := self._cache.trouble) is not None and self._cache.is_hopeless:
            raise ProviderError(f"vCenter {self._settings.server}: {reason(error)}")

    async def start(self) -> None:
        """Prepare, unless that is done already. A new leader must not wait for a vCenter that is unreachable."""
        if not self._running or self._cache.is_hopeless:
            await self.prepare()

    async def stop(self) -> None:
        """Log out and release all resources."""
        if not self._running:
            return
        self._running = False
        if self._cache.is_connected:
            leaving = Deferred.fromCoroutine(self._executor.do("the logout", lambda session: session.log_out()))
            with suppress(ProviderError, DeferTimeout):  # the vCenter ends the session by itself in half an hour
                await leaving.addTimeout(LOGOUT_TIMEOUT, self._reactor)
        self._cache.stop()
        self._executor.stop()

    def trouble(self) -> str:
        """Return why no connection exists; empty when one exists."""
        error = self._cache.trouble
        return reason(error) if error else "" if self._cache.is_connected else "not connected yet"

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """Return the VMs in the pool's folder and the clones in progress. See Note [What the inventory is exact of]."""
        place = self._place(pool)
        if not self._cache.is_known(place):
            await self._refresh_folders(place)
        listed = {vm.guest.name: vm.guest for vm in self._cache.vms(place)}
        return {**listed, **{guest.name: guest for guest in self._clones.guests(place)}}

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """Return the VM of that name, from a watched folder or from anywhere else at the vCenter, or None."""
        if (order := self._clones.order(name)) is not None:
            return next(guest for guest in self._clones.guests(order.place) if guest.name == name)
        vm = await self._vms.search(self._place(pool), name)
        return vm.guest if vm else None

    async def clone(self, pool: Pool, name: str) -> None:
        """Clone a VM. The clone continues when the caller cancels."""
        await shield(self._clone(pool, name))

    async def destroy(self, pool: Pool, name: str) -> None:
        """Destroy a VM of this service.

        If the VM of that name is foreign, the call leaves it alone and succeeds, because the VM of this service is
        gone; with ``destroy_foreign`` it destroys the foreign VM. The destruction continues when the caller cancels.
        """
        await shield(self._destructions.destroy(self._place(pool), name, pool.name))

    async def power_on(self, pool: Pool, name: str) -> None:
        """Power on a VM of this service. The operation continues when the caller cancels."""
        place = self._place(pool)
        await shield(self._executor.steadily(lambda: self._vms.power_on(place, name)))

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Probe the address that the guest reported, or its host name (setting ``probe``). Raises NoAnswer."""
        host = guest.hostname if self._settings.probe == "name" else guest.address
        if not host:
            raise NoAnswer(f"{guest.name} has not reported its {self._settings.probe}")
        await reach(self._reactor, host, pool.probe_port)

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write the holder into the annotation."""
        place = self._place(pool)
        await shield(self._executor.steadily(lambda: self._vms.stamp(place, name, holder)))

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach a thin disk in a separate file whose name contains ``id``."""
        place = self._place(pool)
        await shield(self._executor.steadily(lambda: self._vms.add_disk(place, name, size, id)))

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a quiesced snapshot that includes the memory."""
        place = self._place(pool)
        await shield(self._executor.steadily(lambda: self._vms.snapshot(place, name, snapshot)))

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Revert a VM to the snapshot of that name, from anywhere in the snapshot tree."""
        place = self._place(pool)
        await shield(self._executor.steadily(lambda: self._vms.revert(place, name, snapshot)))

    async def migrate(self, pool: Pool, name: str) -> None:
        """Migrate a running VM to the least used healthy host of the pool's ``clone_target``.

        The migration continues when the caller cancels.
        """
        await shield(self._executor.steadily(lambda: self._migrate(pool, name)))

    async def _migrate(self, pool: Pool, name: str) -> None:
        place = self._place(pool)
        target = await self._targets.of(pool, inventory_lookup.datacenter(self._cache.now.session, place[0]))
        if target.host is None:
            raise ProviderError(f"pool {pool.name} has no clone_target to migrate {name} in")
        await self._vms.migrate(place, name, target.host)

    async def prepare_templates(self, folder: str) -> list[str]:
        """Add a layer to the disks of every template and VM in a folder and below it.

        Returns the paths of those that lacked one. Raises ProviderError at the first template that cannot get a layer.
        """
        home = inventory_lookup.datacenter(self._cache.now.session, self._settings.datacenter)
        top = f"{home}/vm/"
        templates = await self._layers.in_folder(f"{top}{folder.strip('/')}")
        return [path.removeprefix(top) for path, ref in templates.items() if await self._layers.add(ref, path)]

    def changes(self, listener: Listener) -> None:
        """Call ``listener`` with the name of each pool whose VMs changed."""
        self._listeners.append(listener)

    def _place(self, pool: Pool) -> Place:
        return pool.datacenter or self._settings.datacenter, pool.folder.strip("/")

    def _changed(self, place: Place) -> None:
        for pool in self._pools.get(place, ()):
            for listener in self._listeners:
                try:
                    listener(pool)
                except Exception:
                    log.failure("a listener failed on a change of pool {pool}", pool=pool)

    async def _refresh_folders(self, place: Place) -> None:
        """Look up the folders again, because this one is not known: it may exist by now, or may be created."""
        connected = self._cache.now
        path = inventory_lookup.folder_path(connected.session, place)
        if self._general.create_folders:
            await self._executor.do(f"folder {path}", lambda session: inventory_lookup.make_folder(session, path))
        elif await self._executor.read(f"folder {path}", lambda session: session.find(path)) is None:
            return
        await self._executor.do(f"folder {path}", lambda _: self._cache.refresh())
        await self._cache.until(lambda: self._cache.now is not connected, UPDATE_TIMEOUT)

    async def _clone(self, pool: Pool, name: str) -> None:
        place = self._place(pool)
        try:
            await self._clones.make(pool, name, place)
        finally:
            self._changed(place)
