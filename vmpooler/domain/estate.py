"""Decides what happens to VMs of pools that are not configured any more, or whose configured place has changed.

Note [Draining]

The leader manages every pool that has VMs. For a pool that is not configured any more it uses remembered data: Redis
stores, for each pool, where its VMs are (store/commands/registry.py). Such a pool is *drained*: nothing is cloned, its
pending and ready VMs are completed, the running ones keep their lifetime, and tasks that clients request for them are
refused. When the pool has no VM left, its memory is deleted.

Nothing is destroyed that cannot be explained. The place of a VM is the provider's server or file, and the folder there.
If no configured provider has that place, a drained pool is left unchanged, and the operator must act. If the provider
of that name has another server, only the VMs that this provider lists are touched: it may be the same server under
another name.

A configured pool whose place has changed has VMs at both places. The VMs at the former place are known by name: they
were in the pool's queues when the change was detected. They keep their queues, and each operation on one runs at the
place of the VM. VMs whose place cannot be reached now are left unchanged: they do not count as missing. If no
configured provider has the place, its ready VMs are not handed out any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from vmpooler.settings import Pool, Settings

REMEMBERED = (
    *("provider", "template", "folder", "datastore", "datacenter", "clone_target"),
    *("create_linked_clone", "timeout", "ready_ttl", "probe_port"),
)
"""The settings of a pool that are stored in Redis. None is a secret."""

WAY_OUT = "put the pool back with size: 0"
"""The remedy that is always available to an operator."""

NOT_CONFIGURED = "is of a pool that is not configured any more"
"""Why a VM of a drained pool is completed."""

REFUSED = "its pool is not configured any more, and is drained"
"""Why a task for a VM of a drained pool is refused."""


@attrs.frozen
class PoolMemory:
    """The place of a pool's VMs, as Redis remembers it.

    ``pool`` has size 0, and a folder only if the provider needs it. ``kind`` is the kind of its provider, ``at`` that
    provider's server or file. ``vms`` has names only in the memory of a former place; ``before`` has these memories.
    """

    pool: Pool
    kind: str = ""
    at: str = ""
    vms: frozenset[str] = frozenset()
    before: tuple["PoolMemory", ...] = ()

    def __str__(self) -> str:
        """Return the place as text for people."""
        where = ", ".join(filter(None, [self.at, self.pool.folder]))
        return f"provider {self.pool.provider}{f' ({where})' if where else ''}"


@attrs.frozen
class Part:
    """VMs of a pool at a former place. ``provider`` is the configured one that has the place, empty if none has."""

    pool: Pool
    provider: str
    vms: frozenset[str]


@attrs.frozen
class Charge:
    """A pool that the leader manages.

    ``provider`` is the configured one that has its VMs, empty if none has: then the pool is left unchanged. ``note`` is
    for people: why the pool is drained, or what is left at a former place.
    """

    pool: Pool
    provider: str
    memory: PoolMemory | None
    draining: bool = False
    parts: tuple[Part, ...] = ()
    note: str = ""


def memory_of(pool: Pool, settings: Settings) -> PoolMemory:
    """Return the place of the VMs of a configured pool."""
    section = settings.providers[pool.provider]
    datacenter, folder = pool.datacenter or section.datacenter, pool.folder if section.by_folder else ""
    known = attrs.evolve(pool, alias=(), size=0, datacenter=datacenter, folder=folder)
    return PoolMemory(known, section.kind, section.at)


def configured(pool: Pool, old: PoolMemory | None, standing: frozenset[str], settings: Settings) -> Charge:
    """Return the charge for a configured pool.

    ``old`` is the pool's remembered place. ``standing`` are the VMs in its queues, needed if it may have moved.
    """
    now = memory_of(pool, settings)
    memory = attrs.evolve(now, before=_before(now, old, standing, settings) if old else ())
    parts = tuple(_part(each, settings) for each in memory.before)
    return Charge(pool, pool.provider, memory, parts=parts, note="; ".join(_moved(memory.before, parts)))


def drained(name: str, old: PoolMemory | None, standing: frozenset[str], settings: Settings) -> Charge:
    """Return the charge for a pool that is not configured. ``old`` is None if no place of it is remembered."""
    if old is None:
        return _unremembered(name, settings)
    provider, sure = _home(old, settings)
    parts = tuple(_part(each, settings) for each in old.before)
    if not provider:
        gone = f"not configured any more, and neither is {old}, which has its VMs: they are left as they stand"
        return Charge(old.pool, "", old, True, parts, f"{gone}; put that provider back, or {WAY_OUT}")
    pool = attrs.evolve(old.pool, provider=provider)
    note = f"not configured any more: it is drained through provider {provider}"
    if not sure:
        others = frozenset(standing).difference(*(part.vms for part in parts))
        parts = (*parts, Part(pool, "", others))
        note += f", as far as it has them: it was {old.at or 'in memory'} and is {settings.providers[provider].at} now"
    return Charge(pool, provider, old, True, parts, "; ".join([note, *_moved(old.before, parts)]))


def left_at_former_places(charge: Charge, vms: frozenset[str]) -> Charge:
    """Return the charge reduced to those VMs at former places that are in ``vms``."""
    memory = charge.memory
    if memory is None or not memory.before:
        return charge
    pairs = [
        (attrs.evolve(each, vms=each.vms & vms), part) for each, part in zip(memory.before, charge.parts, strict=False)
    ]
    pairs = [(each, part) for each, part in pairs if each.vms]
    formers, parts = tuple(each for each, _ in pairs), tuple(part for _, part in pairs)
    note = charge.note if charge.draining else "; ".join(_moved(formers, parts))
    return attrs.evolve(charge, memory=attrs.evolve(memory, before=formers), parts=parts, note=note)


def neighbours(charges: Iterable[Charge], settings: Settings) -> dict[str, list[str]]:
    """Return for each pool the other pools whose VMs are, or were, in the same folder."""
    found: dict[tuple[str, ...], list[str]] = {}
    charges = list(charges)
    for charge in charges:
        for place in _folders(charge, settings):
            found.setdefault(place, []).append(charge.pool.name)
    shared: dict[str, list[str]] = {}
    for charge in charges:
        near = {name: None for place in _folders(charge, settings) for name in found[place] if name != charge.pool.name}
        shared[charge.pool.name] = list(near)
    return shared


def may_have_moved(pool: Pool, old: PoolMemory, settings: Settings) -> bool:
    """Return whether VMs of a configured pool may be at a former place."""
    return bool(old.before) or _place(memory_of(pool, settings), settings) != _place(old, settings)


def of_json(name: str, known: Any) -> PoolMemory:
    """Return a memory from its JSON form in Redis.

    Members that this version does not know are ignored, and missing ones have their default. Raises ValueError for a
    member of another type.
    """
    if not isinstance(known, Mapping):
        raise ValueError("it is not an object")
    fields = {field.name: field for field in attrs.fields(Pool)}
    given: dict[str, Any] = {}
    for each in REMEMBERED:
        if each in known:
            _check(known[each], fields[each].default, each)
            given[each] = known[each]
    pool = Pool(name=name, size=0, **given)
    vms, before = known.get("vms", []), known.get("before", [])
    if not isinstance(vms, Sequence) or not isinstance(before, Sequence):
        raise ValueError("vms and before must be lists")
    formers = tuple(of_json(name, each) for each in before)
    return PoolMemory(pool, str(known.get("kind", "")), str(known.get("at", "")), frozenset(map(str, vms)), formers)


def to_json(memory: PoolMemory) -> dict[str, Any]:
    """Return the JSON form of a memory, as stored in Redis."""
    known: dict[str, Any] = {name: getattr(memory.pool, name) for name in REMEMBERED}
    known |= {"kind": memory.kind, "at": memory.at}
    if memory.vms:
        known["vms"] = sorted(memory.vms)
    if memory.before:
        known["before"] = [to_json(each) for each in memory.before]
    return known


def _check(value: object, default: object, name: str) -> None:
    number = isinstance(default, int | float) and not isinstance(default, bool)
    fits = isinstance(value, int | float) and not isinstance(value, bool) if number else type(value) is type(default)
    if not fits:
        raise ValueError(f"{name} is not of its type")


def _place(memory: PoolMemory, settings: Settings) -> tuple[str, ...]:
    """Return a key that is equal for two pools whose VMs are in the same place."""
    if _by_folder(memory, settings):
        return memory.kind, memory.at, memory.pool.datacenter, memory.pool.folder.strip("/")
    return memory.kind, memory.pool.provider, memory.at


def _by_folder(memory: PoolMemory, settings: Settings) -> bool:
    """Return whether pools of this kind of provider share folders; False if no provider of that kind is configured."""
    return any(each.kind == memory.kind and each.by_folder for each in settings.providers.values())


def _folders(charge: Charge, settings: Settings) -> list[tuple[str, ...]]:
    memories = [charge.memory, *charge.memory.before] if charge.memory else []
    return [_place(each, settings) for each in memories if _by_folder(each, settings)]


def _before(now: PoolMemory, old: PoolMemory, standing: frozenset[str], settings: Settings) -> tuple[PoolMemory, ...]:
    """Return the former places of a pool, each with those of its VMs that are still in a queue.

    A VM that is in a queue and is not known to be at a former place was made at the last one.
    """
    formers = [attrs.evolve(each, vms=each.vms & standing) for each in old.before]
    rest = standing.difference(*(each.vms for each in formers))
    latest = attrs.evolve(old, vms=rest, before=())
    here = _place(now, settings)
    return tuple(each for each in (*formers, latest) if each.vms and _place(each, settings) != here)


def _home(memory: PoolMemory, settings: Settings) -> tuple[str, bool]:
    """Return the configured provider that has a place (empty if none has), and whether that is certain."""
    same = settings.providers.get(memory.pool.provider)
    alike = {name: each for name, each in settings.providers.items() if each.kind == memory.kind}
    if same is not None and memory.pool.provider in alike and same.at == memory.at:
        return memory.pool.provider, True
    for name, each in alike.items():
        if each.by_folder and each.at == memory.at:
            return name, True
    return (memory.pool.provider, False) if memory.pool.provider in alike else ("", False)


def _part(memory: PoolMemory, settings: Settings) -> Part:
    provider, sure = _home(memory, settings)
    return Part(attrs.evolve(memory.pool, provider=provider), provider if sure else "", memory.vms)


def _moved(formers: Sequence[PoolMemory], parts: Sequence[Part]) -> list[str]:
    """Return what is left at former places, as text for people."""
    notes = []
    for memory, part in zip(formers, parts, strict=False):
        where = f"{len(memory.vms)} of its VMs stood at {memory} when the pool moved"
        left = "which is not configured: those that are not found at the new place are left as they stand"
        notes.append(where if part.provider else f"{where}, {left}; put that provider back to end them")
    return notes


def _unremembered(name: str, settings: Settings) -> Charge:
    """Return the charge for a pool that another version or another program made.

    A provider that needs the pool's folder cannot be used, because the folder is not known.
    """
    pool = Pool(name=name, size=0)
    only = next(iter(settings.providers)) if len(settings.providers) == 1 else ""
    if only and not settings.providers[only].by_folder:
        pool = attrs.evolve(pool, provider=only)
        note = f"not configured: it is drained through provider {only}"
        return Charge(pool, only, memory_of(pool, settings), True, note=note)
    note = f"not configured, and where its VMs stand is not known: they are left as they stand; {WAY_OUT}"
    return Charge(pool, "", None, True, note=note)
