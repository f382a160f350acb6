"""The section ``providers``, and which of its entries makes the VMs of which pool."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from vmpooler.config.reader import Reader
from vmpooler.config.report import NOT_SERVED, key_shown, nearest, shown
from vmpooler.config.ruby_vmpooler import OLD_SECTIONS, PROVIDER_CLASSES, PROVIDER_KEYS
from vmpooler.providers.driver import ProviderDriver
from vmpooler.providers.plugins import Drivers, PluginError
from vmpooler.settings import NAME, Pool, ProviderSettings


@attrs.frozen
class ProviderEntry:
    """An entry of ``providers``.

    ``kind`` is its class, empty if that is a mistake. Without a driver and settings no pool can be on the entry;
    ``unusable`` is the reason, empty if it is a mistake that is reported already.
    """

    kind: str = ""
    driver: ProviderDriver[Any] | None = None
    settings: ProviderSettings | None = None
    unusable: str = ""


def read_providers(reader: Reader, sections: Mapping[str, object], drivers: Drivers) -> dict[str, ProviderEntry]:
    """Return the entries of ``providers`` by name, with the sections of old files that stand for such an entry."""
    found: dict[str, ProviderEntry] = {}
    for name, raw in (reader.mapping(sections.get("providers"), "providers") or {}).items():
        path = f"providers.{key_shown(name)}"
        if re.fullmatch(NAME, name):
            found[name] = _entry(reader, name, raw, path, drivers)
        else:
            reader.report.mistake(path, f"expected a name that matches {NAME}")
    for name in OLD_SECTIONS:
        if (raw := sections.get(name)) is None:
            continue
        if name in found:
            reader.report.mistake(name, f"providers.{name} is given too; keep one of them")
        else:
            found[name] = _entry(reader, name, raw, name, drivers)
    return found


def _entry(reader: Reader, name: str, raw: object, path: str, drivers: Drivers) -> ProviderEntry:
    given = reader.mapping(raw, path)
    if given is None:
        return ProviderEntry()
    chosen = given.pop("provider_class", None)
    kind = name if chosen is None else chosen
    if isinstance(kind, str) and kind in drivers.names:
        try:
            driver = drivers.get(kind)
        except PluginError as error:
            reader.report.warn(path, f"of class {kind}, which cannot be loaded: {error}")
            return ProviderEntry(kind, unusable=f"which cannot be loaded: {error}")
        return ProviderEntry(
            kind, driver, reader.section(driver.settings, given, path, ignored=driver.ignored | PROVIDER_KEYS)
        )
    if isinstance(kind, str) and kind in PROVIDER_CLASSES:
        reader.report.warn(path, f"of class {kind}: {NOT_SERVED}")
        return ProviderEntry(kind, unusable="which this version does not serve")
    installed = " or ".join(drivers.names)
    if chosen is None:
        reader.report.mistake(path, f"no such class of provider; say provider_class: {installed}")
    else:
        reader.report.mistake(f"{path}.provider_class", f"expected {installed}, got {shown(kind)}")
    return ProviderEntry()


def assign(
    reader: Reader, pools: Iterable[Pool], entries: dict[str, ProviderEntry], drivers: Drivers
) -> tuple[Pool, ...]:
    """Return the pools with their providers resolved.

    An implied provider is added to ``entries`` if a pool is on it and the file has no entry for it.
    """
    default = _default(entries, drivers)
    return tuple(
        _assigned(reader, pool, f"pools[{index}]", default, entries, drivers) for index, pool in enumerate(pools)
    )


def _default(entries: Mapping[str, ProviderEntry], drivers: Drivers) -> list[str]:
    """Return the entries that a pool which names none can mean: one of them if the configuration is correct."""
    known = {name: entry for name, entry in entries.items() if entry.kind in drivers.names}
    named = {name: entry for name, entry in known.items() if entry.driver is None or not entry.driver.implied} or known
    return [name for name, entry in named.items() if entry.kind == name] or list(named) or drivers.implied()


def _assigned(
    reader: Reader, pool: Pool, path: str, default: list[str], entries: dict[str, ProviderEntry], drivers: Drivers
) -> Pool:
    if pool.provider is None:
        return pool  # a mistake that is reported already
    if not pool.provider and len(default) != 1:
        reader.report.mistake(f"{path}.provider", f"must be given: {' or '.join(default or drivers.names)}")
        return pool
    name = pool.provider or default[0]
    if name not in entries and name in drivers.implied():
        driver = drivers.get(name)
        entries[name] = ProviderEntry(name, driver, reader.section(driver.settings, None, f"providers.{name}"))
    if name not in entries:
        reader.report.mistake(f"{path}.provider", f"{shown(name)} is not configured{_hint(name, entries, drivers)}")
        return pool
    entry = entries[name]
    if entry.unusable:
        reader.report.mistake(f"{path}.provider", f"{name} is of class {entry.kind}, {entry.unusable}")
    elif entry.driver is not None:
        for key, text in entry.driver.check_pool(pool).items():
            reader.report.mistake(f"{path}.{key}", text)
    return attrs.evolve(pool, provider=name)


def _hint(name: str, entries: Mapping[str, ProviderEntry], drivers: Drivers) -> str:
    if name in drivers.names:
        return ""
    return nearest(name, {*entries, *drivers.implied()}) or f"; the installed classes are {', '.join(drivers.names)}"
