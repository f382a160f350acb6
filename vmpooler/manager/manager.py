"""The manager of one process: it leads while it holds the leadership lease, and stands by otherwise.

A standby tries to take the lease. A leader that loses the lease stands by again.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.domain.backoff import BUSY_INTERVAL
from vmpooler.domain.errors import NotLeading, StoreAway
from vmpooler.domain.events import Event
from vmpooler.domain.names import Choice
from vmpooler.manager.history import OnSample
from vmpooler.manager.leadership import DrainersOf, Leadership
from vmpooler.manager.loop import Loop
from vmpooler.providers.base import Provider, ProviderError
from vmpooler.providers.driver import MayOrder
from vmpooler.settings import Pool, Settings
from vmpooler.store.failover.lease import Lease
from vmpooler.store.stream import EventStream

ATTEMPT_INTERVAL = 0.25
"""Seconds between two attempts of a standby to take the lease, and before a retry when Redis is unavailable."""

RENEWALS_PER_LEASE = 3
"""Number of times that the lease is renewed within the time that it holds."""

Providers = Callable[[MayOrder], Mapping[str, Provider]]
"""Creates the providers of one term. They call ``MayOrder`` at the last moment before an order, and send the order only
if it returns True."""


Drainers = Callable[[MayOrder, Mapping[str, Provider], Sequence[Pool]], Mapping[str, Provider]]
"""Returns, by name, the providers of pools that are not configured any more: those created for the term where they
serve these pools, else new ones."""


def made_already(may: MayOrder, made: Mapping[str, Provider], pools: Sequence[Pool]) -> Mapping[str, Provider]:
    """Return the providers that the configured pools use.

    Where other providers are needed, the code that creates the manager passes another ``drainers``.
    """
    return {pool.provider: made[pool.provider] for pool in pools}


class Manager:
    """Keeps every pool of the settings full, unless another manager leads.

    ``lease`` creates a lease for each term. ``sampled`` is called by the leader once a minute with the state of the
    pools. ``attempt_interval`` is the number of seconds between two attempts to take the lease while the manager stands
    by.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        events: EventStream,
        lease: Callable[[], Lease],
        providers: Providers,
        clock: IReactorTime,
        wall: Callable[[], float],
        choice: Choice,
        sampled: OnSample = lambda rows, when: None,
        attempt_interval: float = ATTEMPT_INTERVAL,
        drainers: Drainers = made_already,
    ) -> None:
        self._settings = settings
        self._new_lease = lease
        self._new_providers = providers
        self._drainers = drainers
        self._more: list[Provider] = []
        self._clock = clock
        self._wall = wall
        self._choice = choice
        self._sampled = sampled
        self._attempt_interval = attempt_interval
        self._term: Leadership | None = None
        self._last_leader = ""
        self._ending = False
        self._keeper = Loop("lease", self._attend_always, clock)
        events.listen(self._on_event)
        self._renew()

    @property
    def leads(self) -> bool:
        """Whether this manager is the leader."""
        return self._term is not None

    def state(self) -> dict[str, Any]:
        """Return whether this manager leads, and for each provider ``ok`` or the problem that it has now."""
        suspected = self._term.trouble if self._term is not None else lambda _: ""
        providers = {name: each.trouble() or suspected(name) or "ok" for name, each in self._providers.items()}
        return {"manager": "leading" if self.leads else "standing by", "providers": providers}

    async def start(self) -> None:
        """Lead at once if no other manager does, else stand by.

        Raises ProviderError for a provider whose settings cannot work.
        """
        await _all(provider.prepare() for provider in self._providers.values())
        await self._attended()
        self._keeper.start()

    async def stop(self, seconds: float) -> None:
        """Start no more work, wait up to ``seconds`` for work in flight, then release the providers and the lease."""
        self._ending = True
        if self._term is not None:
            await self._term.end(seconds)  # the lease is renewed meanwhile
        await self._keeper.stop()
        try:
            await self._stop_providers()
        finally:
            self._term = None
            await self._drop()

    async def _attend_always(self) -> float:
        try:
            return await self._attended()
        except ProviderError as error:
            self.log.error("[!] cannot lead: {why}", why=error)
            await self._drop()
            await self._step_down()
            return BUSY_INTERVAL

    async def _attended(self) -> float:
        """Attend to the lease, also when Redis is unavailable; return the seconds until the next time.

        Raises ProviderError for a provider that makes it impossible to lead.
        """
        try:
            return await self._attend()
        except (StoreAway, NotLeading):
            if self._lease.mark and self._term is None:
                await self._drop()
                await self._step_down()  # the term could not begin
            return self._attempt_interval

    async def _attend(self) -> float:
        """Renew the lease or try to take it; return the seconds until the next time."""
        if self._term is not None:
            if await self._lease.keep():
                return self._lease.holds / RENEWALS_PER_LEASE
            self.log.warn("[!] leads no more: another manager does")
            await self._step_down()
        elif self._ending:
            return self._attempt_interval
        elif await self._lease.take():
            await self._lead()
            return self._lease.holds / RENEWALS_PER_LEASE
        elif self._lease.other != self._last_leader:
            self._last_leader = self._lease.other
            self.log.info("[*] stands by while another manager leads: {other}", other=self._last_leader)
        return min(self._attempt_interval, self._lease.free_in)

    async def _lead(self) -> None:
        await _all(provider.start() for provider in self._providers.values())
        term = Leadership(
            self._settings,
            self._lease.fence(self._keeper.wake),
            self._lease.ensure_leading,
            self._providers,
            self._clock,
            self._wall,
            self._choice,
            self._sampled,
            self._drainers_for(self._lease),
        )
        await term.begin()
        self._term = term
        self._last_leader = ""
        self.log.info("[*] leads from now on: {mark}", mark=self._lease.mark)

    async def _step_down(self) -> None:
        """Leave all work to the manager that leads, and prepare to lead again."""
        if self._term is not None:
            self._term.give_up()
            self._term = None
        await self._stop_providers()
        self._renew()
        preparing = Deferred.fromCoroutine(_all(provider.prepare() for provider in self._providers.values()))
        preparing.addErrback(self._unprepared)

    def _renew(self) -> None:
        """Create a new lease and new providers: nothing of an ended term is ever used again."""
        self._lease = lease = self._new_lease()
        self._providers = self._new_providers(lambda: lease.leading)
        for provider in self._providers.values():
            provider.changes(self._changed)

    def _drainers_for(self, lease: Lease) -> DrainersOf:
        """Return the function that gives a term its other providers; new ones start in the background."""

        def drainers(pools: Sequence[Pool]) -> Mapping[str, Provider]:
            found = self._drainers(lambda: lease.leading, self._providers, pools)
            for name, provider in found.items():
                if provider is not self._providers.get(name):
                    self._more.append(provider)
                    provider.changes(self._changed)
                    Deferred.fromCoroutine(provider.start()).addErrback(self._cannot_drain, name)
            return found

        return drainers

    async def _stop_providers(self) -> None:
        more, self._more = self._more, []
        await _all(provider.stop() for provider in (*self._providers.values(), *more))

    def _cannot_drain(self, failure: Failure, name: str) -> None:
        failure.trap(ProviderError, CancelledError)
        if not self._ending:
            text = "[!] provider {name} cannot be used for the pools that are not configured any more: {why}"
            self.log.error(text, name=name, why=failure.getErrorMessage())

    def _unprepared(self, failure: Failure) -> None:
        failure.trap(ProviderError, CancelledError)
        if not self._ending:
            self.log.error("[!] could not lead now: {why}", why=failure.getErrorMessage())

    async def _drop(self) -> None:
        try:
            await self._lease.drop()
        except StoreAway:
            self.log.info("[*] the lease could not be dropped: no other manager leads until it runs out")

    def _changed(self, pool: str) -> None:
        if self._term is not None:
            self._term.wake(pool)

    def wake_all(self) -> None:
        """Run a round of each pool now, because Redis may have lost data."""
        if self._term is not None:
            self._term.wake_all()

    def _on_event(self, event: Event) -> None:
        if self._term is not None:
            self._term.on_event(event)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run these coroutines concurrently; when all have ended, raise the first failure."""
    ends: Any = await DeferredList([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)
    for done, outcome in ends:
        if not done:
            outcome.raiseException()
