"""The sections ``providers`` and ``vsphere``, and which of their entries makes the VMs of which pool."""

import re
from collections.abc import Iterable, Mapping

import attrs

from vmpooler.config.original import PROVIDER_CLASSES
from vmpooler.config.reader import Reader
from vmpooler.config.report import NOT_SERVED, Report, key_shown, nearest, shown
from vmpooler.settings import NAME, Dummy, Pool, Vsphere

CLASSES: Mapping[str, type[Dummy] | type[Vsphere]] = {"dummy": Dummy, "vsphere": Vsphere}


@attrs.frozen
class Providers:
    """What is configured: by name the class of every entry, and the entries of the classes that there are here."""

    classes: dict[str, str] = attrs.field(factory=dict)
    entries: dict[str, Dummy | Vsphere] = attrs.field(factory=dict)


def read_providers(reader: Reader, providers: object, vsphere: object) -> Providers:
    """The entries of the section ``providers``, and the old section ``vsphere`` as the entry of that name."""
    found = Providers()
    for name, raw in (reader.mapping(providers, "providers") or {}).items():
        path = f"providers.{key_shown(name)}"
        if re.fullmatch(NAME, name):
            _read_entry(reader, found, name, raw, path)
        else:
            reader.report.mistake(path, f"expected a name that matches {NAME}")
    if vsphere is not None and "vsphere" in found.classes:
        reader.report.mistake("vsphere", "providers.vsphere is given too; keep one of them")
    elif vsphere is not None:
        _read_entry(reader, found, "vsphere", vsphere, "vsphere")
    return found


def _read_entry(reader: Reader, found: Providers, name: str, raw: object, path: str) -> None:
    given = reader.mapping(raw, path)
    if given is None:
        found.classes[name] = ""
        return
    chosen = given.pop("provider_class", None)
    kind = name if chosen is None else chosen
    found.classes[name] = kind if isinstance(kind, str) else ""
    if isinstance(kind, str) and kind in CLASSES:
        found.entries[name] = reader.section(CLASSES[kind], given, path)
    elif isinstance(kind, str) and kind in PROVIDER_CLASSES:
        reader.report.warn(path, f"of class {kind}: {NOT_SERVED}")
    elif chosen is None:
        reader.report.mistake(path, f"no such class of provider; say provider_class: {' or '.join(CLASSES)}")
    else:
        reader.report.mistake(f"{path}.provider_class", f"expected {' or '.join(CLASSES)}, got {shown(kind)}")


def assign(pools: Iterable[Pool], providers: Providers, report: Report) -> tuple[Pool, ...]:
    """The pools with their providers resolved. The dummy provider is added where one uses it and there is none."""
    default = _default(providers)
    return tuple(_assigned(pool, f"pools[{index}]", default, providers, report) for index, pool in enumerate(pools))


def _default(providers: Providers) -> list[str]:
    """The entries that a pool may mean that names none; one of them when all is well."""
    for kind in ("vsphere", "dummy"):
        names = [name for name, its_kind in providers.classes.items() if its_kind == kind]
        if names:
            return [kind] if kind in names else names
    return ["dummy"]


def _assigned(pool: Pool, path: str, default: list[str], providers: Providers, report: Report) -> Pool:
    if pool.provider is None:
        return pool  # a mistake that is reported already
    if not pool.provider and len(default) > 1:
        report.mistake(f"{path}.provider", f"must be given: {' or '.join(default)}")
        return pool
    name = pool.provider or default[0]
    if name == "dummy" and name not in providers.classes:
        providers.classes[name], providers.entries[name] = name, Dummy()
    kind = providers.classes.get(name)
    if kind is None:
        report.mistake(
            f"{path}.provider", f"{shown(name)} is not configured" + nearest(name, {*providers.classes, "dummy"})
        )
    elif kind in PROVIDER_CLASSES:
        report.mistake(f"{path}.provider", f"{name} is of class {kind}, which this version does not serve")
    elif kind == "vsphere":
        for key in ("template", "folder"):
            if getattr(pool, key) == "":
                report.mistake(f"{path}.{key}", "must be given for a pool on vsphere")
    return attrs.evolve(pool, provider=name)
