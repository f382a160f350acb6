"""Messages from the update thread to the reactor: plain values, created in the update thread's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from vmpooler.domain.guest import Guest
from vmpooler.providers.vsphere.inventory_lookup import Place
from vmpooler.providers.vsphere.session import Ref, Session
from vmpooler.providers.vsphere.stamp import stamp_in

VM_PROPERTIES = (
    "name",
    "runtime.powerState",
    "runtime.bootTime",
    "runtime.host",
    "guest.hostName",
    "guest.ipAddress",
    "config.annotation",
    "config.template",
)


@attrs.frozen(eq=False)
class ListedVm:
    """A VM as the vCenter last reported it."""

    ref: Ref
    guest: Guest
    annotation: str


@attrs.frozen(eq=False)
class TaskEnd:
    """The end of a vCenter task: its result, or the fault that ended it."""

    result: Any
    fault: Exception | None


@attrs.frozen(eq=False)
class Connected:
    """A new login, or a new lookup of the folders: it replaces all earlier state.

    Every place has a folder, a trouble, or both. ``open_tasks`` is the view through which vCenter tasks are watched.
    """

    session: Session
    open_tasks: Ref
    folders: Mapping[Place, Ref]
    troubles: Mapping[Place, str]
    vms: Mapping[Place, Mapping[Ref, ListedVm]]
    tasks: Mapping[Ref, TaskEnd]


@attrs.frozen
class Updates:
    """The changes since the last message; None for a VM that is gone.

    ``troubles``: the places whose list of VMs is no longer complete.
    """

    vms: Mapping[Place, Mapping[Ref, ListedVm | None]]
    tasks: Mapping[Ref, TaskEnd]
    troubles: Mapping[Place, str]


NOTHING = Updates({}, {}, {})


@attrs.frozen(eq=False)
class Disconnected:
    """No connection exists; nothing is known until the next Connected."""

    error: Exception


Message = Connected | Updates | Disconnected


def vm_of(ref: Ref, facts: Mapping[str, Any], host_name: Callable[[Ref], str]) -> ListedVm | None:
    """Return the VM with these properties; None for a template. A VM without a configuration is still being cloned."""
    if facts.get("config.template") or "name" not in facts:
        return None
    annotation = facts.get("config.annotation") or ""
    booted, host = facts.get("runtime.bootTime"), facts.get("runtime.host")
    guest = Guest(
        name=facts["name"],
        cloning="config.template" not in facts,
        powered_on=facts.get("runtime.powerState") == "poweredOn",
        hostname=facts.get("guest.hostName") or "",
        address=facts.get("guest.ipAddress") or "",
        stamp=stamp_in(annotation),
        booted=booted.timestamp() if booted else None,
        host=host_name(host) if host else "",
    )
    return ListedVm(ref, guest, annotation)


def end_of(facts: Mapping[str, Any]) -> TaskEnd | None:
    """Return how the vCenter task with these properties ended; None while it is in progress."""
    match facts.get("info.state"):
        case "success":
            return TaskEnd(facts.get("info.result"), None)
        case "error":
            return TaskEnd(None, facts.get("info.error") or RuntimeError("a task failed without a reason"))
        case _:
            return None
