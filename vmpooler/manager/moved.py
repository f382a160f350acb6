"""One provider for a pool whose VMs stand at several places: see Note [Draining] in domain/estate.py."""

from collections.abc import Mapping, Sequence

import attrs

from vmpooler.domain.guest import Guest, Holder
from vmpooler.providers.base import Listener, Provider, ProviderError
from vmpooler.settings import Pool


@attrs.frozen
class Former:
    """A former place of a pool, and the pool's VMs there. ``provider`` is None if none is configured for it."""

    pool: Pool
    provider: Provider | None
    vms: frozenset[str]


class Moved(Provider):
    """Combines the provider of a pool's present place with those of its former places.

    Each provider is called for its own VMs. A VM that the present place lists is there, even if it was known at a
    former place. The code that created the providers starts and stops them.
    """

    def __init__(self, now: Provider, formers: Sequence[Former]) -> None:
        self._now = now
        self._formers = formers
        self._here: frozenset[str] = frozenset()
        self.unseen: frozenset[str] = frozenset().union(*(former.vms for former in formers))
        """VMs at places that could not be read in the last inventory: nothing is known about them, not even that they
        are absent."""

    @property
    def stranded(self) -> frozenset[str]:
        """The VMs of ``unseen`` whose place no configured provider has."""
        lost = (former.vms for former in self._formers if former.provider is None)
        return self.unseen & frozenset().union(*lost)

    @property
    def elsewhere(self) -> frozenset[str]:
        """The VMs of former places that the present place does not list."""
        return frozenset().union(*(former.vms for former in self._formers)) - self._here

    async def inventory(self, pool: Pool) -> Mapping[str, Guest]:
        """Return the VMs of the present place, and the pool's own VMs at former places that can be read."""
        found: dict[str, Guest] = {}
        unseen: frozenset[str] = frozenset()
        for former in self._formers:
            try:
                listed = await self._listed(former)
            except ProviderError:
                unseen |= former.vms
            else:
                found |= {name: guest for name, guest in listed.items() if name in former.vms}
        here = await self._now.inventory(pool)
        self._here = frozenset(here)
        self.unseen = unseen - found.keys() - here.keys()
        return {**found, **here}

    async def _listed(self, former: Former) -> Mapping[str, Guest]:
        if former.provider is None:
            raise ProviderError("no configured provider has this place")
        return await former.provider.inventory(former.pool)

    def _of(self, pool: Pool, name: str) -> tuple[Provider, Pool]:
        """Return the provider and the pool settings for a VM. Raises ProviderError if its place has no provider."""
        for former in self._formers:
            if name in former.vms and name not in self._here:
                if former.provider is None:
                    raise ProviderError(f"{name} stands at a former place of its pool, which no provider has")
                return former.provider, former.pool
        return self._now, pool

    async def prepare(self) -> None:
        """Do nothing: the code that created the providers prepares them."""

    async def start(self) -> None:
        """Do nothing: the code that created the providers starts them."""

    async def stop(self) -> None:
        """Do nothing: the code that created the providers stops them."""

    def trouble(self) -> str:
        """Return the trouble of the present place's provider."""
        return self._now.trouble()

    def changes(self, listener: Listener) -> None:
        """Do nothing: the code that created the providers listens to them."""

    async def find(self, pool: Pool, name: str) -> Guest | None:
        """Find a VM at the provider of its place."""
        provider, its = self._of(pool, name)
        return await provider.find(its, name)

    async def clone(self, pool: Pool, name: str) -> None:
        """Clone a VM at the present place."""
        await self._now.clone(pool, name)

    async def destroy(self, pool: Pool, name: str) -> None:
        """Destroy a VM at its place."""
        provider, its = self._of(pool, name)
        await provider.destroy(its, name)

    async def probe(self, pool: Pool, guest: Guest) -> None:
        """Probe a guest with the settings of the pool at its place."""
        provider, its = self._of(pool, guest.name)
        await provider.probe(its, guest)

    async def power_on(self, pool: Pool, name: str) -> None:
        """Switch a VM on at its place."""
        provider, its = self._of(pool, name)
        await provider.power_on(its, name)

    async def stamp(self, pool: Pool, name: str, holder: Holder | None) -> None:
        """Write the holder of a VM on the VM."""
        provider, its = self._of(pool, name)
        await provider.stamp(its, name, holder)

    async def add_disk(self, pool: Pool, name: str, size: int, id: str) -> None:
        """Attach a disk to a VM at its place."""
        provider, its = self._of(pool, name)
        await provider.add_disk(its, name, size, id)

    async def snapshot(self, pool: Pool, name: str, snapshot: str) -> None:
        """Take a snapshot of a VM at its place."""
        provider, its = self._of(pool, name)
        await provider.snapshot(its, name, snapshot)

    async def revert(self, pool: Pool, name: str, snapshot: str) -> None:
        """Revert a VM to a snapshot at its place."""
        provider, its = self._of(pool, name)
        await provider.revert(its, name, snapshot)
