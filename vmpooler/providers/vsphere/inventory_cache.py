"""Caches the state of a vCenter on the reactor's thread, from the messages of the update thread.

Note [What the inventory is exact of]: an inventory reflects the last answer to WaitForUpdatesEx. A vCenter answers at
once when something has changed, and after LONGEST_WAIT seconds at the latest when nothing has changed. If no answer
arrives within the setting ``timeout``, the login ends, and the inventory raises an error. An inventory is therefore the
state at the moment of the call, except for changes whose updates are still in transit and, when the vCenter hangs,
changes of the last ``timeout`` seconds. That is enough for the order in which a manager reads its state (work in
flight, then the inventory, then the queues), because the effects of this service's own operations are never missing
from it: a clone is listed from its order on, and ends only once its VM is listed; a destruction ends only once its VM
is no longer listed. A VM that is neither in flight nor listed is therefore really gone. A VM that is listed and unknown
is only recorded as such, until it has been listed and unknown for minutes.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pyVmomi import vim
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.logger import Logger

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.errors import Away, Doubtful, Failed, failure, reason
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.messages import Connected, Disconnected, ListedVm, Message, TaskEnd, Updates
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.providers.vsphere.settings import Vsphere
from vmpooler.providers.vsphere.update_thread import UpdateThread

log = Logger()


class InventoryCache:
    """The VMs of some folders, and the vCenter tasks that callers wait for.

    ``changed`` is called with each place whose VMs changed.
    """

    def __init__(
        self,
        settings: Vsphere,
        places: Collection[Place],
        reactor: Any,
        chance: random.Random,
        changed: Callable[[Place], None],
    ) -> None:
        self.server = settings.server
        self._reactor = reactor
        self._changed = changed
        self._thread = UpdateThread(
            settings, places, lambda message: reactor.callFromThread(self._take, message), chance
        )
        self._connected: Connected | None = None
        self._error: Exception | None = None
        self.is_stopped = False
        self.is_starting = True  # a caller waits in prepare(), which raises a hopeless error itself
        self._troubles: dict[Place, str] = {}
        self._vms: dict[Place, dict[Ref, ListedVm]] = {}
        self._ended: dict[Ref, TaskEnd] = {}
        self._tasks: dict[Ref, Deferred[TaskEnd]] = {}
        self._conditions: list[tuple[Callable[[], bool], Deferred[None]]] = []

    def start(self) -> None:
        """Start watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and drop all state; all waiting callers get ProviderError."""
        self.is_stopped = True
        self._thread.stop()
        self._forget(Away(f"vCenter {self.server}: is no longer used"))
        self._check()

    @property
    def trouble(self) -> Exception | None:
        """Why no connection exists; None when one exists, or when no attempt has failed yet."""
        return None if self._connected else self._error

    @property
    def is_connected(self) -> bool:
        """Whether a connection exists."""
        return self._connected is not None

    def is_on(self, session: Session) -> bool:
        """Return whether this login is still in use."""
        return self._connected is not None and self._connected.session is session

    @property
    def is_hopeless(self) -> bool:
        """Whether the connection failed for a reason that only a change of the settings can remove."""
        return isinstance(self.trouble, vim.fault.InvalidLogin | ssl.SSLCertVerificationError)

    @property
    def now(self) -> Connected:
        """The current login. Raises Away when no connection exists."""
        if self._connected is None:
            why = f": {reason(self._error)}" if self._error else ""
            raise Away(f"vCenter {self.server}: there is no connection{why}")
        return self._connected

    def is_known(self, place: Place) -> bool:
        """Return whether the list of VMs in a folder is complete. Raises Away."""
        return place in self.now.folders and place not in self._troubles

    def folder(self, place: Place) -> Ref:
        """Return the folder at a place. Raises ProviderError when it is not known or its list of VMs is incomplete."""
        if not self.is_known(place):
            raise ProviderError(f"vCenter {self.server}: {self._troubles.get(place, 'this folder is not watched')}")
        return self.now.folders[place]

    def vms(self, place: Place) -> Iterable[ListedVm]:
        """Return the VMs in a folder. Raises ProviderError when their list is not known or incomplete."""
        self.folder(place)
        return self._vms[place].values()

    def vm(self, name: str, place: Place | None = None) -> ListedVm | None:
        """Return the VM of that name in this folder, or in any watched folder if ``place`` is None; None if not found.

        Raises Away when ``place`` is None and no connection exists.
        """
        places = list(self.now.folders) if place is None else [place]
        known = (vm for each in places for vm in self._vms.get(each, {}).values())
        return next((vm for vm in known if vm.guest.name == name), None)

    def has(self, ref: Ref) -> bool:
        """Return whether that VM is in a watched folder. Raises Away."""
        return self.now is not None and any(ref in vms for vms in self._vms.values())

    def refresh(self) -> None:
        """Look up all folders again. Blocks."""
        self._thread.refresh()

    def is_open(self, task: Ref) -> bool:
        """Return whether a caller waits for that vCenter task."""
        return task in self._tasks

    async def end(self, task: Ref, what: str) -> Any:
        """Return the result of a vCenter task that was added to ``open_tasks``, when it is over.

        Raises Failed when it failed, Doubtful when the connection was lost or the vCenter no longer knows the task.
        """
        if task not in self._ended:
            self._tasks[task] = Deferred()
            try:
                self._ended[task] = await self._tasks[task]
            finally:
                self._tasks.pop(task, None)
        end = self._ended.pop(task)
        if isinstance(end.fault, Doubtful):
            raise Doubtful(f"{what}: {end.fault}")
        if end.fault is not None:
            raise Failed(f"{what}: {reason(end.fault)}", end.fault)
        return end.result

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Return whether ``condition`` became true within that many seconds.

        Raises what ``condition`` raises, for example Away after the connection is lost.
        """
        if condition():
            return True
        wait: Deferred[None] = Deferred()
        entry = (condition, wait)
        self._conditions.append(entry)
        try:
            await wait.addTimeout(seconds, self._reactor)
        except DeferTimeout:
            return False
        finally:
            if entry in self._conditions:
                self._conditions.remove(entry)
        return True

    async def connected(self, seconds: float) -> Connected:
        """Return the login, after a wait if none exists. Raises Away when none exists after that many seconds."""
        await self.until(lambda: self.is_stopped or self._connected is not None, seconds)
        return self.now

    def drop(self, session: Session, error: Exception) -> None:
        """Drop this login, which is no longer valid, and make the update thread log in again."""
        if self.is_on(session):
            self._disconnect(error)
            session.end()
            self._check()

    def _take(self, message: Message) -> None:
        if self.is_stopped:
            return
        match message:
            case Connected():
                self._replace(message)
            case Updates():
                self._apply(message)
            case Disconnected(error):
                self._disconnect(error)
        self._check()

    def _replace(self, message: Connected) -> None:
        if not self.is_on(message.session):
            log.info("[*] vCenter {server}: connected", server=self.server)
        self._connected, self._error = message, None
        self._troubles = dict(message.troubles)
        self._vms = {place: dict(vms) for place, vms in message.vms.items()}
        self._ended = {}
        self._finish(message.tasks)
        for place in (*message.folders, *message.troubles):
            self._changed(place)

    def _apply(self, message: Updates) -> None:
        self._troubles.update(message.troubles)
        for place, vms in message.vms.items():
            known = self._vms.setdefault(place, {})
            before = {ref: known.get(ref) for ref in vms}
            for ref, vm in vms.items():
                if vm is None:
                    known.pop(ref, None)
                else:
                    known[ref] = vm
            if any(_guest(before[ref]) != _guest(vm) for ref, vm in vms.items()):
                self._changed(place)
        self._finish(message.tasks)

    def _finish(self, tasks: Mapping[Ref, TaskEnd]) -> None:
        for task, end in tasks.items():
            if task in self._tasks:
                self._tasks.pop(task).callback(end)
            else:
                self._ended[task] = end

    def _disconnect(self, error: Exception) -> None:
        is_new = self._connected is not None or self._error is None or reason(self._error) != reason(error)
        self._error = error
        self._forget(failure(error, f"vCenter {self.server}"))
        if is_new and not (self.is_starting and self.is_hopeless):
            log.warn("[!] vCenter {server}: {why}; tries again", server=self.server, why=reason(error))

    def _forget(self, error: ProviderError) -> None:
        self._connected = None
        self._vms, self._troubles, self._ended = {}, {}, {}
        tasks, self._tasks = self._tasks, {}
        for task in tasks.values():
            task.errback(Doubtful(str(error)))

    def _check(self) -> None:
        """End every wait whose condition has become true.

        A condition that raises ProviderError, for example because no connection exists, ends its wait with that error.
        """
        for entry in list(self._conditions):
            condition, wait = entry
            try:
                if not condition():
                    continue
            except ProviderError as error:
                self._conditions.remove(entry)
                wait.errback(error)
                continue
            self._conditions.remove(entry)
            wait.callback(None)


def _guest(vm: ListedVm | None) -> object:
    return vm and vm.guest
