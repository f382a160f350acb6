"""The providers that a configuration asks for."""

import random
from collections.abc import Callable
from typing import Any

from vmpooler.providers.base import Provider
from vmpooler.providers.dummy import DummyProvider
from vmpooler.settings import Dummy, Settings


def providers_of(
    settings: Settings, reactor: Any, wall: Callable[[], float], may_order: Callable[[], bool] = lambda: True
) -> dict[str, Provider]:
    """By name those that the pools use, not started. They order nothing while ``may_order`` says no."""
    made: dict[str, Provider] = {}
    for name in dict.fromkeys(pool.provider for pool in settings.pools):
        section = settings.providers[name]
        chance = random.Random()  # noqa: S311 - not for secrecy
        if isinstance(section, Dummy):
            made[name] = DummyProvider(section, reactor, wall, chance, reactor, may_order)
        else:
            # pyVmomi takes a sixth of a start, which only those who have a vCenter need
            from vmpooler.providers.vsphere import VsphereProvider

            pools = [pool for pool in settings.pools if pool.provider == name]
            made[name] = VsphereProvider(section, settings.general, pools, reactor, wall, chance, may_order)
    return made
