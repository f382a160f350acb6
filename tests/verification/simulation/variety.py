"""What differs between schedules: the pools, and the probabilities of the faults."""

from random import Random

import attrs

from tests.verification.simulation.simulation import Faults
from tests.verification.simulation.world import PLAIN, SimulationWorld
from vmpooler.providers.dummy import Dummy
from vmpooler.settings import Auth, General, Pool, Settings

HYPERVISOR = Dummy(
    createvm_max_time=8,
    bootvm_max_time=8,
    bootvm_fail_percent=2,
    destroyvm_max_time=4,
    createdisk_max_time=3,
    createsnapshot_max_time=3,
    revertsnapshot_max_time=3,
)
"""Settings with which VMs are made in seconds."""

MINUTE = 1 / 60
"""One minute in hours."""


TWO_PROVIDERS = 0.3
"""Share of schedules that have two providers."""

SIZES = [(1, 1), (2, 1), (2, 2), (3, 1, 1), (1, 2, 2)]
"""Sizes of the pools."""

LARGER = [(2, 2), (4, 2), (3, 3), (3, 2, 2)]
"""Sizes of the pools where VMs are given and then lost."""


def settings_of(chance: Random, world: SimulationWorld = PLAIN) -> Settings:
    """Return a few small pools, two of which share an alias, with timers that run out within minutes."""
    sizes = chance.choice(LARGER if world.backup else SIZES)
    fresh = chance.choice([0, 2])
    pools = [
        Pool(name=name, alias=alias, size=size, provider="dummy", timeout=1, ready_ttl=fresh)
        for name, alias, size in zip("abc", (("any",), ("any",), ()), sizes, strict=False)
    ]
    general = General(
        task_limit=chance.choice([1, 2, 3]),
        timeout=1.0,
        vm_checktime=0.5,
        vm_lifetime=chance.choice([1.5, 10, 600] if world.backup else [0.6, 1.5, 600]) * MINUTE,
        vm_lifetime_auth=chance.choice([0, 1]),
        discovered_grace=0.5,
    )
    return Settings(general=general, pools=tuple(pools), providers={"dummy": HYPERVISOR}, auth=Auth(provider="dummy"))


def with_another_provider(settings: Settings, seed: int) -> Settings:
    """Return the settings; in some schedules with a separate provider for the last pool. The choice uses its own random
    numbers, so that it does not change the rest of a schedule."""
    if len(settings.pools) == 1 or Random(f"providers {seed}").random() > TWO_PROVIDERS:
        return settings
    *others, last = settings.pools
    pools = (*others, attrs.evolve(last, provider="another"))
    return attrs.evolve(settings, pools=pools, providers={**settings.providers, "another": HYPERVISOR})


def faults_of(chance: Random, world: SimulationWorld = PLAIN) -> Faults:
    """Return one kind of fault, or some of every kind. Where Redis loses writes, mostly few other faults happen."""
    if world.backup and chance.random() < 0.7:
        return chance.choice(
            [Faults(slow=3), Faults(crash=0.5, slow=1), Faults(cut=0.5, freeze=0.3), Faults(outage=0.3)]
        )
    everything = Faults(1, 0.5, 0.7, 0.5, 0.4, 0.2, 0.2, 0.3, 4, 4, 5, 15, 10, 0.4)
    kinds = [
        Faults(slow=15),
        Faults(crash=2, lose=5, leave=1),
        Faults(cut=2, freeze=1),
        Faults(refuse=10, lose=10, deaf=20, outage=0.5),
        Faults(vanish=1, meddle=1, plant=0.5, slow=5),
        Faults(hang_up=50, cut=1, slow=10),
        Faults(leap=1.5, freeze=1, crash=0.5),
        everything,
        everything,
    ]
    return chance.choice(kinds)
