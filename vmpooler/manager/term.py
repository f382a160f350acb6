"""One term of the manager that leads: the loops of all pools, and what wakes them."""

import math
from collections.abc import Awaitable, Callable, Mapping

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from vmpooler.domain.answers import Answers
from vmpooler.domain.bearing import Bearing
from vmpooler.domain.events import Event, What
from vmpooler.domain.names import Choice
from vmpooler.domain.pace import EAGER, SECOND_LOOK, longest_pause
from vmpooler.domain.plan import Rules
from vmpooler.manager.history import Sampler, Told
from vmpooler.manager.loop import Loop
from vmpooler.manager.pool import LOOKS, PoolRound
from vmpooler.manager.tasks import WorkInFlight
from vmpooler.manager.work import Work
from vmpooler.providers.base import Provider
from vmpooler.settings import AUTO, Pool, Settings, Vsphere
from vmpooler.store.commands import Commands
from vmpooler.store.past import Past
from vmpooler.store.queues import Queues
from vmpooler.store.tasks import Tasks

NEIGHBOURS = 10
"""How many pools of a provider are woken at once to see whether their guests answer, when one did not."""

BY_OTHERS = frozenset(
    {What.CHECKOUT, What.UNCLAIMED, What.RETURNED, What.COMPLETED, What.CHANGED, What.RESTORED, What.QUARANTINED}
)
"""The events that may come from another process and give a pool something to do."""

NOTABLE = 1.25
"""How many times as many, or as few, clones at once are news."""

NEWS = 60.0
"""Seconds between two such news at the least."""


class Term:
    """Keeps every pool of the settings full, from :meth:`begin` to :meth:`end` or :meth:`give_up`.

    ``store`` is behind the fence; ``assured`` is what :class:`vmpooler.manager.work.Work` asks before every order;
    ``sampled`` is told how the pools stand, once a minute.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        store: Commands,
        assured: Callable[[], Awaitable[None]],
        providers: Mapping[str, Provider],
        clock: IReactorTime,
        wall: Callable[[], float],
        choice: Choice,
        sampled: Told,
    ) -> None:
        self._settings = settings
        self._store = store
        self._assured = assured
        self._providers = providers
        self._clock = clock
        self._wall = wall
        self._choice = choice
        self._bearing = bearing_of(settings)
        self._told, self._told_at = self._bearing.held, 0.0
        grace = settings.general.discovered_grace * 60
        self._answers = {name: Answers(grace) for name in providers}
        self._neighbours = {name: _Ring() for name in providers}
        self._queues = Queues(store, settings, limit=lambda: self._bearing.limit)
        self._requests = Tasks(store, settings, choice, "manager")
        self._intake = Loop("intake", self._adopt, clock)
        past = Past(store, settings.general.events_max)
        names = [pool.name for pool in settings.pools]
        self._sampler = Loop("history", Sampler(names, store, past, wall, sampled).run, clock)
        self._pools: dict[str, Loop] = {}
        self._rounds: dict[str, PoolRound] = {}
        self._turns = DeferredSemaphore(LOOKS)
        for number, pool in enumerate(settings.pools):
            self._add(pool, longest_pause(number, len(settings.pools)))

    async def begin(self) -> None:
        """Put the books in order, and begin all loops, each with a look at everything. Raises StoreAway, NotLeading."""
        await self._queues.recount(list(self._pools))
        for name, loop in self._pools.items():
            self.log.info("[*] [{pool}] starting its loop", pool=name)
            loop.start()
        self._intake.start()
        self._sampler.start()

    async def end(self, seconds: float) -> None:
        """Begin nothing more, and wait up to so many seconds for what is in flight."""
        await gatherResults([Deferred.fromCoroutine(loop.stop()) for loop in self._loops])
        await gatherResults([Deferred.fromCoroutine(each.tasks.drain(seconds)) for each in self._rounds.values()])

    def give_up(self) -> None:
        """End everything at once, for another manager leads. Work at the provider goes on there."""
        for loop in self._loops:
            loop.give_up()
        for each in self._rounds.values():
            each.tasks.give_up()

    def wake(self, pool: str) -> None:
        """Run a pool's round at once."""
        if pool in self._pools:
            self._pools[pool].wake()

    def wake_all(self) -> None:
        """Run the rounds of all pools at once."""
        for loop in self._pools.values():
            loop.wake()

    def heard(self, event: Event) -> None:
        """Something happened: a listener of the event stream."""
        if event.what in BY_OTHERS:
            self.wake(event.pool)
        elif event.what is What.REQUESTED:
            self._intake.wake()

    @property
    def _loops(self) -> tuple[Loop, ...]:
        return self._intake, self._sampler, *self._pools.values()

    async def _adopt(self) -> float:
        """Take up what clients asked for; events wake this, and the timer is for what the original's API wrote."""
        for pool in await self._requests.adopt(list(self._pools), self._wall()):
            self.wake(pool)
        return EAGER

    def _add(self, pool: Pool, longest: float) -> None:
        general, provider = self._settings.general, self._providers[pool.provider]
        self._neighbours[pool.provider].pools.append(pool.name)
        tasks = WorkInFlight(pool.name, self._clock, lambda: self._ended(pool.name))
        wake_after = lambda seconds: self._pools[pool.name].wake_after(seconds)  # noqa: E731 - the loop is made below
        work = Work(
            pool,
            provider,
            self._queues,
            self._requests,
            self._clock,
            self._wall,
            wake_after,
            self._assured,
            self._bearing,
            self._answers[pool.provider],
            lambda: self._ask_neighbours(pool.provider),
        )
        self._rounds[pool.name] = PoolRound(
            pool=pool,
            provider=provider,
            connection=self._store,
            queues=self._queues,
            tasks=tasks,
            work=work,
            clock=self._clock,
            wall=self._wall,
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
        self._pools[pool.name] = Loop(pool.name, self._rounds[pool.name].run, self._clock)

    def _ended(self, pool: str) -> None:
        """A task ended: its pool may have more to do, and a pool in line for a clone may have its turn."""
        self._tell_limit()
        self.wake(pool)
        for name, each in self._rounds.items():
            if each.refused:
                self.wake(name)

    def trouble(self, provider: str) -> str:
        """Why VMs of a provider are kept though their guests do not answer; empty where none are."""
        return self._answers[provider].trouble(self._clock.seconds())

    def _ask_neighbours(self, provider: str) -> None:
        """Have other pools of a provider, some at a time, look whether their guests answer."""
        now, ring = self._clock.seconds(), self._neighbours[provider]
        if abs(now - ring.asked) >= SECOND_LOOK / 2:
            ring.asked = now
            for name in ring.turn(NEIGHBOURS):
                self.wake(name)

    def _tell_limit(self) -> None:
        """Write down how many clones are borne at once, where that has changed much; not all the time."""
        now, held = self._clock.seconds(), self._bearing.held
        if max(held, self._told) >= NOTABLE * min(held, self._told) and now >= self._told_at + NEWS:
            self.log.info("[*] clones at once: {held}, by how they go; it was {told}", held=held, told=self._told)
            self._told, self._told_at = held, now


@attrs.define
class _Ring:
    """The pools of a provider, and when some of them were last asked."""

    pools: list[str] = attrs.field(factory=list)
    asked: float = -math.inf

    def turn(self, count: int) -> list[str]:
        """The next of them."""
        first, rest = self.pools[:count], self.pools[count:]
        self.pools = [*rest, *first]
        return first


def bearing_of(settings: Settings) -> Bearing:
    """What says how many clones may be under way: a number, or the provider. Never more than its vCenters may have."""
    general = settings.general
    if general.task_limit != AUTO:
        return Bearing(general.task_limit, least=general.task_limit)
    used = [settings.providers[name] for name in {pool.provider for pool in settings.pools}]
    slots = [each.max_clones for each in used if isinstance(each, Vsphere)]
    return Bearing(min(general.task_limit_max, sum(slots)) if len(slots) == len(used) else general.task_limit_max)
