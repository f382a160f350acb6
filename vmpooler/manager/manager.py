"""All pools of one process: their loops, and what wakes them."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.domain.errors import StoreAway
from vmpooler.domain.events import Event, What
from vmpooler.domain.names import Choice
from vmpooler.domain.pace import EAGER, longest_pause
from vmpooler.domain.plan import Rules
from vmpooler.manager.history import Sampler, Told
from vmpooler.manager.loop import STORE_AWAY, Loop
from vmpooler.manager.pool import LOOKS, PoolRound
from vmpooler.manager.tasks import WorkInFlight
from vmpooler.manager.work import Work
from vmpooler.providers.base import Provider
from vmpooler.settings import Pool, Settings
from vmpooler.store.connection import Connection
from vmpooler.store.past import Past
from vmpooler.store.queues import Queues
from vmpooler.store.stream import EventStream
from vmpooler.store.tasks import Tasks

BY_OTHERS = frozenset({What.CHECKOUT, What.RETURNED, What.COMPLETED})
"""The events that may come from another process and give a pool something to do."""


class Manager:
    """Keeps every pool of the settings full. ``sampled`` is told how the pools stand, once a minute."""

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        events: EventStream,
        providers: Mapping[str, Provider],
        clock: IReactorTime,
        choice: Choice,
        sampled: Told = lambda rows, when: None,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._providers = providers
        self._clock = clock
        self._choice = choice
        self._queues = Queues(connection, settings)
        self._requests = Tasks(connection, settings, choice, "manager")
        self._intake = Loop("intake", self._adopt, clock)
        past = Past(connection, settings.general.events_max)
        names = [pool.name for pool in settings.pools]
        self._sampler = Loop("history", Sampler(names, connection, past, clock, sampled).run, clock)
        self._loops: dict[str, Loop] = {}
        self._rounds: dict[str, PoolRound] = {}
        self._turns = DeferredSemaphore(LOOKS)
        for number, pool in enumerate(settings.pools):
            self._add(pool, longest_pause(number, len(settings.pools)))
        for provider in providers.values():
            provider.changes(self.wake)
        events.listen(self._heard)

    async def start(self) -> None:
        """Start the providers, put the books in order, begin all loops. Raises ProviderError for a provider whose
        settings cannot work. A Redis that is away is waited for."""
        for provider in self._providers.values():
            await provider.start()
        while not await self._recounted():
            await deferLater(self._clock, STORE_AWAY)
        for name, loop in self._loops.items():
            self.log.info("[*] [{pool}] starting its loop", pool=name)
            loop.start()
        self._intake.start()
        self._sampler.start()

    async def stop(self, seconds: float) -> None:
        """Begin nothing more, wait up to so many seconds for what is in flight, let the providers go."""
        loops = (self._intake, self._sampler, *self._loops.values())
        await gatherResults([Deferred.fromCoroutine(loop.stop()) for loop in loops])
        await gatherResults([Deferred.fromCoroutine(each.tasks.drain(seconds)) for each in self._rounds.values()])
        for provider in self._providers.values():
            await provider.stop()

    def wake(self, pool: str) -> None:
        """Run a pool's round at once."""
        if pool in self._loops:
            self._loops[pool].wake()

    async def _recounted(self) -> bool:
        try:
            await self._queues.recount(list(self._loops))
        except StoreAway as error:
            self.log.warn("[!] waits for Redis: {why}", why=error)
            return False
        return True

    def _heard(self, event: Event) -> None:
        if event.what in BY_OTHERS:
            self.wake(event.pool)
        elif event.what is What.REQUESTED:
            self._intake.wake()

    async def _adopt(self) -> float:
        """Take up what clients asked for; events wake this, and the timer is for what the original's API wrote."""
        for pool in await self._requests.adopt(list(self._loops), self._clock.seconds()):
            self.wake(pool)
        return EAGER

    def _add(self, pool: Pool, longest: float) -> None:
        general, provider = self._settings.general, self._providers[pool.provider]
        tasks = WorkInFlight(pool.name, self._clock, lambda: self._ended(pool.name))
        wake_after = lambda seconds: self._loops[pool.name].wake_after(seconds)  # noqa: E731 - the loop is made below
        work = Work(pool, provider, self._queues, self._requests, self._clock, wake_after)
        self._rounds[pool.name] = PoolRound(
            pool=pool,
            provider=provider,
            connection=self._connection,
            queues=self._queues,
            tasks=tasks,
            work=work,
            clock=self._clock,
            choice=self._choice,
            prefix=general.prefix,
            lifetime=general.vm_lifetime,
            rules=Rules(
                grace=general.discovered_grace * 60,
                check_every=general.vm_checktime * 60,
                destroy_foreign=general.destroy_foreign,
            ),
            turns=self._turns,
            longest=longest,
        )
        self._loops[pool.name] = Loop(pool.name, self._rounds[pool.name].run, self._clock)

    def _ended(self, pool: str) -> None:
        """A task ended: its pool may have more to do, and a pool in line for a clone may have its turn."""
        self.wake(pool)
        for name, each in self._rounds.items():
            if each.refused:
                self.wake(name)
