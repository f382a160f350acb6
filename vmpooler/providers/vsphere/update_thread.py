"""The thread that waits for the updates of one vCenter, and logs in again whenever the login ends."""

from __future__ import annotations

import random
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from threading import Event, Thread
from time import monotonic
from typing import Any

from pyVmomi import vim, vmodl

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere.errors import NoResponse
from vmpooler.providers.vsphere.inventory_lookup import Place, folder_path
from vmpooler.providers.vsphere.messages import (
    NOTHING,
    VM_PROPERTIES,
    Connected,
    Disconnected,
    ListedVm,
    Message,
    Updates,
)
from vmpooler.providers.vsphere.session import CHILDREN, Ref, Session, Spec, log_in
from vmpooler.providers.vsphere.settings import Vsphere
from vmpooler.providers.vsphere.specs import through_view
from vmpooler.providers.vsphere.update_merger import UpdateMerger

LONGEST_WAIT = 20
"""Seconds after which a vCenter answers at the latest, also when nothing has changed."""

TASK_PROPERTIES = ("info.state", "info.error", "info.result")

FIRST, MOST, WRONG = 0.2, 15.0, 300.0
"""Upper limits in seconds of the pause before the next login.

The limit is FIRST, doubled for each consecutive failure, up to MOST; after a refused login it is WRONG. Each pause is a
random part of the limit, from half of it to all of it.
"""

SOON, PAUSE = 0.5, 1.0
"""A vCenter where nothing has changed normally delays its answer.

After an answer without updates that arrives within SOON seconds, the next request is sent PAUSE seconds later.
"""

STEADY = 10.0
"""Seconds that a login must last for the count of failures to restart at zero."""


class UpdateThread:
    """Waits in its own thread, and calls ``send`` in that thread with each message."""

    def __init__(
        self, settings: Vsphere, places: abc.Collection[Place], send: Callable[[Message], None], chance: random.Random
    ) -> None:
        self._settings = settings
        self._places = places
        self._send = send
        self._chance = chance
        self._stopping = Event()
        self._session: Session | None = None
        self._collector: Ref | None = None
        self._thread = Thread(target=self._run, name=f"vCenter {settings.server}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the login, also while a call is in progress. Does not block."""
        self._stopping.set()
        if (session := self._session) is not None:
            session.end()

    def refresh(self) -> None:
        """Make the thread look up the folders again. Blocks; raises what the vCenter raises."""
        if self._collector is not None:
            self._collector.CancelWaitForUpdates()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began, wrong = monotonic(), False
            try:
                self._follow()
            except Exception as error:  # after any error, this thread must continue
                if self._stopping.is_set():
                    return
                self._send(Disconnected(error))
                wrong = isinstance(error, vim.fault.InvalidLogin)  # too many refused logins lock the account
            failures = 0 if monotonic() - began > STEADY else failures + 1
            longest = WRONG if wrong else min(MOST, FIRST * 2**failures)
            self._stopping.wait(longest * self._chance.uniform(0.5, 1))

    def _follow(self) -> None:
        """Log in and send messages until an error occurs."""
        self._session = session = log_in(self._settings)
        try:
            open_tasks = session.content.viewManager.CreateListView([])
            host_name = cache(session.host_name)
            while not self._stopping.is_set():
                self._collect(session, open_tasks, host_name)
        finally:
            session.end()
            self._session = self._collector = None

    def _collect(self, session: Session, open_tasks: Ref, host_name: Callable[[Ref], str]) -> None:
        """Send the complete state, then every change, until :meth:`refresh` is called or a folder is gone."""
        collector = session.content.propertyCollector.CreatePropertyCollector()
        collector.CreateFilter(_task_filter(open_tasks), True)
        merger = UpdateMerger(host_name)
        folders = self._add_folders(session, collector, merger)
        self._collector = collector
        connected = False
        with suppress(vmodl.fault.RequestCanceled):  # caused by refresh
            for seen in self._updates(collector, merger):
                if not connected:
                    vms = {place: _there(seen.vms.get(place, {})) for place in folders}
                    self._send(Connected(session, open_tasks, folders, seen.troubles, vms, seen.tasks))
                elif seen != NOTHING:
                    self._send(seen)
                connected = True
        collector.DestroyPropertyCollector()

    def _updates(self, collector: Ref, merger: UpdateMerger) -> Iterator[Updates]:
        """Yield the changes in each answer; the first item is the complete state.

        An answer without updates means only that nothing has changed. It does not mean that nothing exists, or that a
        set of updates of which a part has arrived is complete. Raises NoResponse when the next part of an incomplete
        set does not arrive within ``timeout`` seconds.
        """
        wait = Spec.WaitOptions(maxWaitSeconds=min(LONGEST_WAIT, max(1, int(self._settings.timeout * 2 / 3))))
        version, is_partial, is_first, received = "", bool(merger.folders), True, monotonic()
        while not merger.folder_gone:
            asked = monotonic()
            update = collector.WaitForUpdatesEx(version, wait)
            if update is not None:
                version, is_partial, received = update.version, bool(update.truncated), monotonic()
                merger.take(update)
            elif monotonic() - asked < SOON:
                self._stopping.wait(PAUSE)
            if not is_partial:
                if is_first:
                    merger.check_reported()
                is_first = False
                yield merger.changes()
            elif monotonic() - received > self._settings.timeout:
                raise NoResponse("it reports no folder" if not version else "it reports folders in part")

    def _add_folders(self, session: Session, collector: Ref, merger: UpdateMerger) -> dict[Place, Ref]:
        """Watch the folders; return those that exist."""
        folders: dict[Place, Ref] = {}
        for place in self._places:
            try:
                merger.folders[place] = folders[place] = folder = _folder(session, place)
            except ProviderError as error:
                merger.troubles[place] = str(error)
            else:
                merger.places[collector.CreateFilter(_folder_filter(folder), True)] = place
        return folders


def _folder(session: Session, place: Place) -> Ref:
    """Return the folder at a place. Raises ProviderError when it does not exist or is not a folder."""
    path = folder_path(session, place)
    folder = session.find(path)
    if folder is None:
        raise ProviderError(f"there is no folder {path}, or the account may not see it: check folder")
    if not isinstance(folder, vim.Folder):
        raise ProviderError(f"{path} is no folder: check folder")
    return folder


def _there(vms: Mapping[Ref, ListedVm | None]) -> Mapping[Ref, ListedVm]:
    return {ref: vm for ref, vm in vms.items() if vm is not None}


def _task_filter(view: Ref) -> Any:
    wanted = Spec.PropertySpec(type=vim.Task, pathSet=list(TASK_PROPERTIES))
    return Spec.FilterSpec(
        objectSet=[Spec.ObjectSpec(obj=view, skip=True, selectSet=[through_view("ListView")])], propSet=[wanted]
    )


def _folder_filter(folder: Ref) -> Any:
    """Return a filter for the VMs directly in a folder, and for the folder itself, so that its end is reported."""
    wanted = [
        Spec.PropertySpec(type=vim.VirtualMachine, pathSet=list(VM_PROPERTIES)),
        Spec.PropertySpec(type=vim.Folder, pathSet=["name"]),
    ]
    return Spec.FilterSpec(objectSet=[Spec.ObjectSpec(obj=folder, skip=False, selectSet=[CHILDREN])], propSet=wanted)
