"""Merges the updates of a vCenter until they are sent to the reactor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pyVmomi import vim, vmodl

from vmpooler.providers.vsphere.errors import Doubtful, reason
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.messages import ListedVm, TaskEnd, Updates, end_of, vm_of
from vmpooler.providers.vsphere.session import Ref


class UpdateMerger:
    """Merges updates in the order of their arrival: a partial update contains only the changed properties.

    ``host_name`` blocks.
    """

    def __init__(self, host_name: Callable[[Ref], str]) -> None:
        self._host_name = host_name
        self.places: dict[Ref, Place] = {}
        self.folders: dict[Place, Ref] = {}
        self._reported: set[Place] = set()
        self.folder_gone = False
        self._facts: dict[tuple[Place | None, Ref], dict[str, Any]] = {}  # a VM that moves is in two folders for a time
        self._vms: dict[Place, dict[Ref, ListedVm | None]] = {}
        self._tasks: dict[Ref, TaskEnd] = {}
        self.troubles: dict[Place, str] = {}

    def take(self, update: Any) -> None:
        """Record the changes in an answer."""
        for each in update.filterSet:
            place = self.places.get(each.filter)
            for one in each.objectSet:
                self._take(place, one)

    def check_reported(self) -> None:
        """Record trouble for each folder that no update so far has reported: it is not known to be empty.

        The vCenter reports a folder without VMs too, as an object of its own.
        """
        for place in self.folders.keys() - self._reported:
            self.troubles.setdefault(place, f"folder {place[1]} was not reported by the vCenter")

    def changes(self) -> Updates:
        """Return the changes that were recorded since the last call."""
        seen = Updates(self._vms, self._tasks, self.troubles)
        self._vms, self._tasks, self.troubles = {}, {}, {}
        return seen

    def _take(self, place: Place | None, one: Any) -> None:
        if isinstance(one.obj, vim.Folder):
            if one.kind == "leave" and place is not None:
                self.folder_gone = True
                self.troubles[place] = f"folder {place[1]} is gone, or the account may no longer see it"
            elif place is not None and one.obj == self.folders.get(place) and not one.missingSet:
                self._reported.add(place)
            return
        self._check_whole(place, one.missingSet)
        if place is None:
            self._take_task(one)
        elif one.kind == "leave":
            self._facts.pop((place, one.obj), None)
            self._vms.setdefault(place, {})[one.obj] = None
        else:
            facts = self._changed(place, one)
            self._vms.setdefault(place, {})[one.obj] = vm_of(one.obj, facts, self._host_name)
            if one.kind == "modify" and "name" not in facts:
                self.troubles[place] = f"a change in folder {place[1]} is of a VM that was not reported before"

    def _take_task(self, one: Any) -> None:
        if one.kind == "leave":
            if self._facts.pop((None, one.obj), None) is not None:
                self._tasks[one.obj] = TaskEnd(None, Doubtful("the vCenter no longer knows of it"))
        elif (end := end_of(self._changed(None, one))) is not None:
            self._tasks[one.obj] = end
            del self._facts[None, one.obj]

    def _changed(self, place: Place | None, one: Any) -> dict[str, Any]:
        """Apply the changes, and return all known properties of the object."""
        facts = self._facts.setdefault((place, one.obj), {})
        for change in one.changeSet:
            facts[change.name] = change.val
            if change.val is None or change.op in ("remove", "indirectRemove"):
                del facts[change.name]
        return facts

    def _check_whole(self, place: Place | None, missing: Iterable[Any]) -> None:
        """Record trouble for the folder of a VM that cannot be read: its list of VMs is incomplete.

        Raises NotAuthenticated.
        """
        for each in missing or ():
            if isinstance(each.fault, vim.fault.NotAuthenticated):
                raise each.fault
            if place is not None and not isinstance(each.fault, vmodl.fault.ManagedObjectNotFound):
                self.troubles[place] = f"a VM in folder {place[1]} cannot be read: {reason(each.fault)}"
