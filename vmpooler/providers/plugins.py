"""Finds the plug-ins of providers that are installed, and builds the providers that a configuration requires."""

import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from vmpooler.domain.errors import VmpoolerError
from vmpooler.providers.base import Provider
from vmpooler.providers.driver import Context, MayOrder, ProviderDriver, Wall
from vmpooler.settings import Pool, ProviderSettings, Settings

GROUP = "vmpooler.providers"
"""The group of entry points."""


class PluginError(VmpoolerError):
    """A plug-in cannot be used; the text contains the reason."""


class Drivers:
    """The drivers of providers, by the names of their entry points. Each is imported when it is first needed."""

    def __init__(self, found: Iterable[EntryPoint]) -> None:
        self._found: dict[str, set[EntryPoint]] = {}
        for each in found:
            self._found.setdefault(each.name, set()).add(each)
        self.names = tuple(sorted(self._found))
        """The installed classes of providers, whether they can be used or not."""
        self._loaded: dict[str, ProviderDriver[Any]] = {}

    def get(self, name: str) -> ProviderDriver[Any]:
        """Return the driver of that name, which must be one of ``names``.

        Raises PluginError when it cannot be imported or is not a driver.
        """
        if name not in self._loaded:
            self._loaded[name] = _loaded(name, self._found[name])
        return self._loaded[name]

    def usable(self) -> dict[str, ProviderDriver[Any]]:
        """Return all drivers that can be imported, by name."""
        found = {}
        for name in self.names:
            try:
                found[name] = self.get(name)
            except PluginError:  # reported where a configuration uses it
                continue
        return found

    def implied(self) -> list[str]:
        """Return the classes that need no entry in ``providers``."""
        return [name for name, driver in self.usable().items() if driver.implied]


@cache
def installed() -> Drivers:
    """Return the drivers of all packages that are installed."""
    return Drivers(entry_points(group=GROUP))


def _loaded(name: str, found: Iterable[EntryPoint]) -> ProviderDriver[Any]:
    values = sorted(each.value for each in found)
    if len(values) > 1:
        raise PluginError(f"several packages have a provider called {name}: {', '.join(values)}")
    (entry,) = found
    try:
        driver = entry.load()
    except Exception as error:  # the code of a plug-in may raise anything
        raise PluginError(f"{entry.value}: {type(error).__name__}: {error}") from error
    if not isinstance(driver, ProviderDriver):
        raise PluginError(f"{entry.value} is not a ProviderDriver")
    if (kind := getattr(driver.settings, "kind", "")) != name:
        raise PluginError(f"{entry.value} has settings of kind {kind!r}, not {name!r}")
    return driver


def providers_of(
    settings: Settings, reactor: Any, wall: Wall, may_order: MayOrder = lambda: True
) -> dict[str, Provider]:
    """Return the providers that the configured pools use, by name, not started.

    They send no order (a call that changes something) while ``may_order`` returns False.
    """
    names = dict.fromkeys(pool.provider for pool in settings.pools)
    return {name: _built(settings, name, _of(settings.pools, name), reactor, wall, may_order) for name in names}


def drainers_of(
    settings: Settings,
    reactor: Any,
    wall: Wall,
    may_order: MayOrder,
    made: Mapping[str, Provider],
    pools: Sequence[Pool],
) -> dict[str, Provider]:
    """Return, by name, the providers of pools that are no longer configured or no longer at that place.

    A provider in ``made`` is reused if it serves that place too; otherwise a new one is created, not started.
    """
    found: dict[str, Provider] = {}
    for name in dict.fromkeys(pool.provider for pool in pools):
        mine = _of(pools, name)
        section = settings.providers[name]
        served = {_folder(section, pool) for pool in _of(settings.pools, name)}
        serves = not section.by_folder or served.issuperset(_folder(section, pool) for pool in mine)
        found[name] = made[name] if name in made and serves else _built(settings, name, mine, reactor, wall, may_order)
    return found


def _of(pools: Sequence[Pool], provider: str) -> list[Pool]:
    return [pool for pool in pools if pool.provider == provider]


def _folder(section: ProviderSettings, pool: Pool) -> tuple[str, str]:
    return pool.datacenter or section.datacenter, pool.folder.strip("/")


def _built(
    settings: Settings, name: str, pools: Sequence[Pool], reactor: Any, wall: Wall, may_order: MayOrder
) -> Provider:
    section = settings.providers[name]
    context = Context(
        general=settings.general,
        pools=pools,
        reactor=reactor,
        wall=wall,
        chance=random.Random(),  # noqa: S311 - no secret is made of it
        may_order=may_order,
    )
    return installed().get(section.kind).build(section, context)
