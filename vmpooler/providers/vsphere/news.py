"""What the waiter tells the reactor: plain values, made in the waiter's thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from vmpooler.domain.guest import Guest
from vmpooler.providers.vsphere.places import Place
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
class Vm:
    """A VM as the vCenter last told of it."""

    ref: Ref
    guest: Guest
    annotation: str


@attrs.frozen(eq=False)
class TaskEnd:
    """A task is over: with a result, or with the fault that ended it."""

    result: Any
    fault: Exception | None


@attrs.frozen(eq=False)
class Begun:
    """A new login, or folders looked up anew: nothing that was known before holds. A place has its folder or its
    trouble; ``open_tasks`` is the view that tasks are watched through."""

    session: Session
    open_tasks: Ref
    folders: Mapping[Place, Ref]
    troubles: Mapping[Place, str]
    vms: Mapping[Place, Mapping[Ref, Vm]]
    tasks: Mapping[Ref, TaskEnd]


@attrs.frozen
class Seen:
    """What changed since; None for a VM that is gone. ``troubles``: the places that are no longer known whole."""

    vms: Mapping[Place, Mapping[Ref, Vm | None]]
    tasks: Mapping[Ref, TaskEnd]
    troubles: Mapping[Place, str]


NOTHING = Seen({}, {}, {})


@attrs.frozen(eq=False)
class Lost:
    """There is no connection: until the next Begun nothing is known."""

    error: Exception


News = Begun | Seen | Lost


def vm_of(ref: Ref, facts: Mapping[str, Any], host_name: Callable[[Ref], str]) -> Vm | None:
    """The VM with these properties; None for a template. One that has no configuration yet is being made."""
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
    return Vm(ref, guest, annotation)


def end_of(facts: Mapping[str, Any]) -> TaskEnd | None:
    """How the task with these properties ended; None while it has not."""
    match facts.get("info.state"):
        case "success":
            return TaskEnd(facts.get("info.result"), None)
        case "error":
            return TaskEnd(None, facts.get("info.error") or RuntimeError("a task failed without a reason"))
        case _:
            return None
