"""Creates the providers that a configuration requires."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from vmpooler.providers.base import Provider
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Dummy, Pool, Settings, Vsphere

MayOrder = Callable[[], bool]

Wall = Callable[[], float]
"""Returns the current time, in seconds since the epoch."""


def providers_of(
    settings: Settings, reactor: Any, wall: Wall, may_order: MayOrder = lambda: True
) -> dict[str, Provider]:
    """Return the providers that the configured pools use, by name, not started.

    They send no order (a call that changes something) while ``may_order`` returns False.
    """
    names = dict.fromkeys(pool.provider for pool in settings.pools)
    return {name: _made(settings, name, _of(settings.pools, name), reactor, wall, may_order) for name in names}


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
        watched = {_folder(section, pool) for pool in _of(settings.pools, name)}
        serves = isinstance(section, Dummy) or watched.issuperset(_folder(section, pool) for pool in mine)
        found[name] = made[name] if name in made and serves else _made(settings, name, mine, reactor, wall, may_order)
    return found


def _of(pools: Sequence[Pool], provider: str) -> list[Pool]:
    return [pool for pool in pools if pool.provider == provider]


def _folder(section: Dummy | Vsphere, pool: Pool) -> tuple[str, str]:
    datacenter = section.datacenter if isinstance(section, Vsphere) else ""
    return pool.datacenter or datacenter, pool.folder.strip("/")


def _made(
    settings: Settings, name: str, pools: Sequence[Pool], reactor: Any, wall: Wall, may_order: MayOrder
) -> Provider:
    section, chance = settings.providers[name], random.Random()  # noqa: S311 - not for secrecy
    if isinstance(section, Dummy):
        return DummyProvider(section, reactor, wall, chance, reactor, may_order)
    # importing pyVmomi takes a sixth of the start time; only configurations with a vCenter need it
    from vmpooler.providers.vsphere import VsphereProvider

    return VsphereProvider(section, settings.general, pools, reactor, wall, chance, may_order)
