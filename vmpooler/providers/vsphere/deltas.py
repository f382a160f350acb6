"""Templates made ready for linked clones: a layer on top of every disk, so that clones share what is below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import attrs
from pyVmomi import vim
from twisted.internet.defer import DeferredLock

from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import specs
from vmpooler.providers.vsphere.calls import Calls
from vmpooler.providers.vsphere.faults import Doubtful, Failed
from vmpooler.providers.vsphere.session import CHILDREN, Ref, Session, Spec


@attrs.frozen(eq=False)
class Template:
    """What a template lacks: ``spec`` adds it. ``pool``: where it runs while it is no template."""

    ref: Ref
    is_template: bool
    pool: Ref
    spec: Any


class Deltas:
    """Adds the layers, to one template at a time."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._lock = DeferredLock()
        self._ready: set[Ref] = set()

    async def add(self, ref: Ref, path: str) -> bool:
        """Whether the template lacked a layer and got it. Raises ProviderError."""
        async with self._lock:
            if ref in self._ready:
                return False
            lacking = await self._calls.read(f"template {path}", lambda session: _lacking(session, ref, path))
            if lacking is not None:
                try:
                    await self._add(lacking, f"the layers of template {path}")
                except Doubtful as error:  # of the layers: the clone that was to follow is not ordered
                    raise ProviderError(str(error)) from error
            self._ready.add(ref)
            return lacking is not None

    async def in_folder(self, path: str) -> dict[str, Ref]:
        """The VMs and templates in a folder and below it, by their paths."""
        return await self._calls.read(f"folder {path}", lambda session: dict(_below(session, path)))

    async def _add(self, template: Template, what: str) -> None:
        if template.is_template:
            await self._unmark(template, what)
        try:
            await self._calls.task(what, lambda _: template.ref.ReconfigVM_Task(template.spec))
        finally:
            if template.is_template:
                await self._mark(template, what)

    async def _unmark(self, template: Template, what: str) -> None:
        """Have it be a VM. When it is not known whether it is one, it is made a template again."""
        try:
            await self._calls.do(what, lambda _: template.ref.MarkAsVirtualMachine(pool=template.pool))
        except Doubtful:
            with suppress(Failed):  # it is a template
                await self._mark(template, what)
            raise

    async def _mark(self, template: Template, what: str) -> None:
        """Have it be a template."""
        await self._calls.do(what, lambda _: template.ref.MarkAsTemplate())


def _lacking(session: Session, ref: Ref, path: str) -> Template | None:
    wanted = {
        vim.VirtualMachine: ["config.hardware.device", "config.template", "runtime.powerState"],
        vim.ComputeResource: ["resourcePool"],
    }
    up = Spec.TraversalSpec(name="up", type=vim.HostSystem, path="parent", skip=False)
    host = Spec.TraversalSpec(name="host", type=vim.VirtualMachine, path="runtime.host", skip=False, selectSet=[up])
    found = session.read([ref], wanted, [host])
    facts = found.pop(ref, {})
    spec = specs.deltas(facts.get("config.hardware.device", ()))
    if spec is None:
        return None
    if facts.get("runtime.powerState") != "poweredOff":
        raise ProviderError(f"template {path} is not switched off")
    pool = next((each["resourcePool"] for each in found.values() if "resourcePool" in each), None)
    return Template(ref, bool(facts.get("config.template")), pool, spec)


def _below(session: Session, path: str) -> Iterator[tuple[str, Ref]]:
    folder = session.find(path)
    if not isinstance(folder, vim.Folder):
        raise ProviderError(f"there is no folder {path}")
    for ref, facts in session.read([folder], {vim.ManagedEntity: ["name"]}, [CHILDREN]).items():
        if ref == folder:
            continue
        below = f"{path}/{facts['name']}"
        if isinstance(ref, vim.VirtualMachine):
            yield below, ref
        elif isinstance(ref, vim.Folder):
            yield from _below(session, below)
