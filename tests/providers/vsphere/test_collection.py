"""Merging of updates, in the orders and parts in which a vCenter may send them."""

from typing import Any

import pytest
from pyVmomi import vim, vmodl

from vmpooler.providers.vsphere.errors import Doubtful
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.session import Spec
from vmpooler.providers.vsphere.update_merger import UpdateMerger

HERE, THERE, NOWHERE = ("", "here"), ("", "there"), ("", "")
VM, FOLDER, TASK = vim.VirtualMachine("vm-1"), vim.Folder("group-1"), vim.Task("task-1")
FILTERS = {place: Spec.Filter(f"filter-{place[1]}") for place in (HERE, THERE)}


def collection() -> UpdateMerger:
    """Return a collection with two folders."""
    made = UpdateMerger(lambda host: host._moId)
    made.places = {ref: place for place, ref in FILTERS.items()}
    return made


def update(place: Place, kind: str, ref: Any, missing: Exception | None = None, **facts: Any) -> Any:
    """Return one update of one object, as a filter reports it."""
    changes = [Spec.Change(name=name.replace("_", "."), op="assign", val=value) for name, value in facts.items()]
    lacks = [Spec.MissingProperty(path="runtime.powerState", fault=missing)] if missing else []
    each = Spec.ObjectUpdate(kind=kind, obj=ref, changeSet=changes, missingSet=lacks)
    return Spec.UpdateSet(
        filterSet=[Spec.FilterUpdate(filter=FILTERS.get(place, Spec.Filter("filter-tasks")), objectSet=[each])]
    )


def entered(place: Place, **facts: Any) -> Any:
    return update(place, "enter", VM, name="one", config_template=False, **facts)


def test_a_vm_that_moves_is_known_in_its_new_folder_whichever_folder_reports_first() -> None:
    seen = collection()
    seen.take(entered(HERE))
    seen.take(entered(THERE))
    seen.take(update(HERE, "leave", VM))
    seen.take(update(THERE, "modify", VM, runtime_powerState="poweredOn"))
    changes = seen.changes()
    assert changes.vms[HERE] == {VM: None}
    moved = changes.vms[THERE][VM]
    assert moved is not None
    assert (moved.guest.name, moved.guest.powered_on) == ("one", True)
    assert changes.troubles == {}


def test_a_change_of_a_vm_that_was_never_reported_makes_its_folder_unknown() -> None:
    seen = collection()
    seen.take(update(HERE, "modify", VM, runtime_powerState="poweredOn"))
    assert HERE in seen.changes().troubles


def test_a_folder_that_goes_is_unknown_in_the_same_moment_as_its_vms_go() -> None:
    seen = collection()
    seen.take(entered(HERE))
    seen.changes()
    seen.take(update(HERE, "leave", VM))
    seen.take(update(HERE, "leave", FOLDER))
    assert HERE in seen.changes().troubles


@pytest.mark.parametrize("fault", [vim.fault.NoPermission(), vmodl.fault.SystemError()])
def test_a_vm_of_which_something_cannot_be_read_makes_its_folder_unknown(fault: Exception) -> None:
    seen = collection()
    seen.take(update(HERE, "enter", VM, missing=fault, name="one", config_template=False))
    assert HERE in seen.changes().troubles


def test_a_vm_that_goes_while_it_is_read_makes_no_trouble() -> None:
    seen = collection()
    seen.take(update(HERE, "enter", VM, missing=vmodl.fault.ManagedObjectNotFound()))
    assert seen.changes().troubles == {}


def test_the_end_of_a_session_is_raised() -> None:
    with pytest.raises(vim.fault.NotAuthenticated):
        collection().take(update(HERE, "enter", VM, missing=vim.fault.NotAuthenticated()))


def test_a_task_that_goes_before_its_end_is_over_with_an_outcome_that_is_not_known() -> None:
    seen = collection()
    seen.take(update(NOWHERE, "enter", TASK, info_state="running"))
    seen.take(update(NOWHERE, "leave", TASK))
    end = seen.changes().tasks[TASK]
    assert isinstance(end.fault, Doubtful)


def test_a_task_that_goes_after_its_end_is_not_reported_again() -> None:
    seen = collection()
    seen.take(update(NOWHERE, "enter", TASK, info_state="success"))
    assert TASK in seen.changes().tasks
    seen.take(update(NOWHERE, "leave", TASK))
    assert seen.changes().tasks == {}


def test_a_folder_is_known_only_when_it_was_reported_itself() -> None:
    seen = collection()
    seen.folders = {HERE: vim.Folder("group-1"), THERE: vim.Folder("group-2")}
    seen.take(update(HERE, "enter", vim.Folder("group-1"), name="here"))
    seen.take(update(THERE, "enter", vim.Folder("group-3"), name="a folder in it"))
    seen.take(entered(THERE))
    seen.check_reported()
    assert seen.changes().troubles == {THERE: "folder there was not reported by the vCenter"}
