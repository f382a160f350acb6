"""One term of the manager that leads: the loops of all pools, and the events that wake them."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from vmpooler.deferreds import Slots
from vmpooler.domain import estate
from vmpooler.domain.adaptive_limit import AdaptiveLimit
from vmpooler.domain.backoff import BUSY_INTERVAL, SECOND_CHECK_DELAY, longest_pause
from vmpooler.domain.estate import Charge
from vmpooler.domain.events import Event, What
from vmpooler.domain.evidence import Answers
from vmpooler.domain.names import Choice
from vmpooler.manager.history import OnSample, Sampler
from vmpooler.manager.loop import Loop
from vmpooler.manager.moved import Former
from vmpooler.manager.pool_controller import PoolController
from vmpooler.manager.vm_operations import Term
from vmpooler.providers.base import Provider
from vmpooler.settings import AUTO, Pool, Settings
from vmpooler.store.commands.registry import Registry, leftovers
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.redis.scripts import RedisCommands

NEIGHBOURS = 10
"""Number of pools of a provider that are woken at once to probe their guests, after a guest did not answer."""

MAX_POOLS_READ = 8
"""Maximum number of pools that are read from Redis at once: if a thousand pools started together, the commands of
clients and of operations in flight would wait for all of them."""

BY_OTHERS = frozenset(
    {What.CHECKOUT, What.UNCLAIMED, What.RETURNED, What.COMPLETED, What.CHANGED, What.RESTORED, What.QUARANTINED}
)
"""The events that may come from another process and give a pool work."""

NOTABLE = 1.25
"""Factor by which the limit of concurrent clones must rise or fall to be logged."""

LIMIT_LOG_INTERVAL = 60.0
"""Minimum seconds between two such log lines."""

REMAINDER_INTERVAL = 30.0
"""Seconds between two checks whether VMs at former places, or of pools that cannot be worked on, are gone."""

NOTHING_LEFT_INTERVAL = 3600.0
"""The same interval when no such VMs are left."""

MAX_SCAN_STEPS = 1000
"""Maximum number of steps of a search for pools, enough for millions of keys. After that the search stops and logs a
warning."""

DrainersOf = Callable[[Sequence[Pool]], Mapping[str, Provider]]
"""Returns, by name, the providers for pools that are not configured, or not at that place any more. The code that
supplies this function starts and stops the providers that it creates."""


class Leadership:
    """Keeps every pool of the settings full, and drains the others.

    A term lasts from :meth:`begin` to :meth:`end` or :meth:`give_up`. ``store`` is the fenced connection;
    ``ensure_leading`` is awaited before every order; ``sampled`` is called once a minute with the state of the pools;
    ``drainers`` returns the providers of pools that are not configured any more.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        store: RedisCommands,
        ensure_leading: Callable[[], Awaitable[None]],
        providers: Mapping[str, Provider],
        clock: IReactorTime,
        wall: Callable[[], float],
        choice: Choice,
        sampled: OnSample,
        drainers: DrainersOf,
    ) -> None:
        self._settings = settings
        self._store = store
        self._providers = providers
        self._clock = clock
        self._wall = wall
        self._drainers = drainers
        self._clone_limit = clone_limit_of(settings)
        self._limit_logged, self._limit_logged_at = self._clone_limit.held, 0.0
        grace = settings.general.discovered_grace * 60
        self._answers = {name: Answers(grace) for name in providers}
        self._neighbours = {name: _Ring() for name in providers}
        self._queues = Queues(store, settings, limit=lambda: self._clone_limit.limit)
        self._requests = Tasks(store, settings, choice, "manager")
        self._registry = Registry(store)
        self._controllers: dict[str, PoolController] = {}
        """The pools that have a provider."""
        self._charges: dict[str, Charge] = {}
        """All existing pools."""
        self._names = [pool.name for pool in settings.pools]
        """The existing pools: those configured, then those that are drained."""
        self._near: dict[str, list[str]] = {}
        self._intake = Loop("intake", self._adopt, clock)
        past = EventHistory(store, settings.general.events_max)
        self._sampler = Loop("history", Sampler(self._names, store, past, wall, sampled).run, clock)
        self._remainder = Loop("former places", self._check_remainder, clock)
        self._searched = False
        self._done = False
        self._term = Term(
            settings=settings,
            store=store,
            queues=self._queues,
            requests=self._requests,
            registry=self._registry,
            clock=clock,
            wall=wall,
            choice=choice,
            ensure_leading=ensure_leading,
            clone_limit=self._clone_limit,
            reads=Slots(MAX_POOLS_READ),
            pools=lambda: self._charges,
            operation_ended=self._operation_ended,
            emptied=self._emptied,
            unsure=self._ask_neighbours,
        )

    async def begin(self) -> None:
        """Bring what Redis records of the pools up to date, then start all loops, each with a round.

        Raises StoreAway, NotLeading.
        """
        await self._take_stock()
        await self._queues.recount(list(self._controllers))
        for name, controller in self._controllers.items():
            self.log.info("[*] [{pool}] starting its loop", pool=name)
            controller.start()
        self._intake.start()
        self._sampler.start()
        self._remainder.start()

    async def end(self, seconds: float) -> None:
        """Start no more work, and wait up to ``seconds`` for work in flight."""
        self._done = True
        await gatherResults([Deferred.fromCoroutine(loop.stop()) for loop in self._loops])
        await gatherResults([Deferred.fromCoroutine(each.drain(seconds)) for each in self._controllers.values()])

    def give_up(self) -> None:
        """Stop everything at once, because another manager leads. Work at the provider continues there."""
        self._done = True
        for loop in self._loops:
            loop.give_up()
        for controller in self._controllers.values():
            controller.cancel_operations()

    def wake(self, pool: str) -> None:
        """Run a pool's round at once."""
        if pool in self._controllers:
            self._controllers[pool].wake()

    def wake_all(self) -> None:
        """Run the rounds of all pools at once."""
        for controller in self._controllers.values():
            controller.wake()

    def on_event(self, event: Event) -> None:
        """Handle an event: a listener of the event stream."""
        if event.what in BY_OTHERS:
            self.wake(event.pool)
        elif event.what is What.REQUESTED:
            self._intake.wake()

    @property
    def _loops(self) -> tuple[Loop | PoolController, ...]:
        return self._intake, self._sampler, self._remainder, *self._controllers.values()

    async def _take_stock(self) -> None:
        """Determine the existing pools: those configured, and those that Redis remembers.

        Stores the configured pools in Redis, and for operators what happens to pools that are drained or have moved.
        """
        memories, settings = await self._registry.read(), self._settings
        charges: list[Charge] = []
        for pool in settings.pools:
            old = memories.pop(pool.name, None)
            moved = old is not None and estate.may_have_moved(pool, old, settings)
            standing = await self._registry.standing(pool.name) if moved else frozenset()
            charges.append(estate.configured(pool, old, standing, settings))
        for name, old in sorted(memories.items()):
            standing = await self._registry.standing(name)
            charge = estate.drained(name, old, standing, settings)
            if standing or charge.provider:
                charges.append(charge)
            else:
                await self._registry.forget(name)
        draining = {charge.pool.name: charge.note for charge in charges if charge.draining}
        moved_notes = {charge.pool.name: charge.note for charge in charges if charge.note and not charge.draining}
        remembered = [charge.memory for charge in charges if charge.memory is not None]
        await self._registry.write(remembered, draining, moved_notes)
        self._take_charge(charges)
        await self._log_notes(charges)

    def _take_charge(self, charges: Sequence[Charge]) -> None:
        """Create a controller for each pool that has a provider."""
        lost = [charge.pool for charge in charges if charge.draining and charge.provider]
        lost += [part.pool for charge in charges for part in charge.parts if part.provider]
        drainers = self._drainers(lost) if lost else {}
        self._charges |= {charge.pool.name: charge for charge in charges}
        self._near = estate.neighbours(self._charges.values(), self._settings)
        for number, charge in enumerate(charges):
            if charge.draining and charge.pool.name not in self._names:
                self._names.append(charge.pool.name)
            if charge.provider:
                self._add(charge, drainers, longest_pause(number, len(charges)))

    async def _log_notes(self, charges: Sequence[Charge]) -> None:
        """Log the notes on pools that are drained or have moved."""
        if not any(charge.note for charge in charges):
            return
        counted = {each.pool: each for each in (await leftovers(self._store)).drained if any(each.counts.values())}
        for charge in charges:
            if charge.note and (not charge.draining or charge.pool.name in counted):
                text = counted[charge.pool.name].text if charge.draining else charge.note
                self.log.warn("[!] [{pool}] {text}", pool=charge.pool.name, text=text)

    async def _find_others(self) -> None:
        """Search once for pools that have VMs and that Redis remembers nothing about.

        Another program, or an older version, made them.
        """
        cursor, found = await self._registry.find("0")
        names = set(found)
        for _ in range(MAX_SCAN_STEPS):
            if cursor == "0":
                break
            await deferLater(self._clock, 0)
            cursor, found = await self._registry.find(cursor)
            names |= set(found)
        else:
            self.log.warn("[!] the search for pools that are not configured is given up: Redis has too many keys")
        charges = [
            estate.drained(name, None, frozenset(), self._settings) for name in sorted(names - self._charges.keys())
        ]
        if not charges or self._done:
            return
        await self._registry.write([charge.memory for charge in charges if charge.memory is not None], None, None)
        for charge in charges:
            await self._registry.note(charge.pool.name, charge.note)
        self._take_charge(charges)
        for charge in charges:
            if charge.pool.name in self._controllers:
                self._controllers[charge.pool.name].start()
        await self._log_notes(charges)

    async def _check_remainder(self) -> float:
        """Check what is left at former places, and of pools that cannot be worked on.

        Client requests for VMs of the latter are refused.
        """
        if not self._searched:
            await self._find_others()
            self._searched = True
        for name, each in list(self._controllers.items()):
            if each.moved:
                await self._remember_left(name, each.moved.elsewhere & await self._registry.standing(name))
        stuck = [name for name in self._charges if name not in self._controllers]
        for name in stuck:
            for task in (await read_state(self._store, name, self._settings.general.vm_lifetime)).tasks:
                await self._requests.fail(name, task, estate.REFUSED, self._wall(), final=True)
            await self._emptied(name)
        moved = any(each.moved for each in self._controllers.values())
        return REMAINDER_INTERVAL if stuck or moved else NOTHING_LEFT_INTERVAL

    async def _remember_left(self, name: str, left: frozenset[str]) -> None:
        """Store that only these VMs of a pool are left at former places."""
        charge = estate.left_at_former_places(self._charges[name], left)
        if charge == self._charges[name] or charge.memory is None:
            return
        self._charges[name] = charge
        await self._registry.write([charge.memory], None, None)
        if not charge.draining:
            await self._registry.note_moved(name, charge.note)
            if not charge.note:
                self.log.info("[*] [{pool}] none of its VMs stands at a former place any more", pool=name)

    async def _emptied(self, name: str) -> None:
        """Forget a drained pool if it has no VM."""
        if not await self._registry.forget(name):
            return
        self.log.info("[*] [{pool}] has no VM left and is not configured: it is forgotten", pool=name)
        for ring in self._neighbours.values():
            if name in ring.pools:
                ring.pools.remove(name)
        if (controller := self._controllers.pop(name, None)) is not None:
            Deferred.fromCoroutine(controller.stop())  # its loop ends after this round
        self._charges.pop(name, None)
        if name in self._names:
            self._names.remove(name)

    async def _adopt(self) -> float:
        """Take up client requests.

        Events wake this loop. Its timer is for requests written by the API of Ruby vmpooler, which sends no events.
        """
        for pool in await self._requests.adopt(list(self._charges), self._wall()):
            self.wake(pool)
            if pool not in self._controllers:
                self._remainder.wake()
        return BUSY_INTERVAL

    def _add(self, charge: Charge, drainers: Mapping[str, Provider], longest: float) -> None:
        pool, grace = charge.pool, self._settings.general.discovered_grace * 60
        provider = drainers[charge.provider] if charge.draining else self._providers[charge.provider]
        formers = [Former(part.pool, drainers.get(part.provider), part.vms) for part in charge.parts]
        answers = self._answers.setdefault(pool.provider, Answers(grace))
        self._neighbours.setdefault(pool.provider, _Ring()).pools.append(pool.name)
        self._controllers[pool.name] = PoolController(
            self._term, charge, provider, formers, answers, self._near[pool.name], longest
        )

    def _operation_ended(self, pool: str) -> None:
        """Wake the pool of an operation that ended, and the pools that wait for a clone."""
        self._log_limit()
        self.wake(pool)
        for each in self._controllers.values():
            if each.refused:
                each.wake()

    def trouble(self, provider: str) -> str:
        """Return why VMs of a provider are kept though their guests do not answer; empty if none are."""
        return self._answers[provider].trouble(self._wall())

    def _ask_neighbours(self, provider: str) -> None:
        """Wake some other pools of a provider, so that they probe their guests."""
        now, ring = self._clock.seconds(), self._neighbours[provider]
        if abs(now - ring.asked) >= SECOND_CHECK_DELAY / 2:
            ring.asked = now
            for name in ring.turn(NEIGHBOURS):
                self.wake(name)

    def _log_limit(self) -> None:
        """Log the limit of concurrent clones when it has changed by much, at most each LIMIT_LOG_INTERVAL seconds."""
        now, held, old = self._clock.seconds(), self._clone_limit.held, self._limit_logged
        if max(held, old) >= NOTABLE * min(held, old) and now >= self._limit_logged_at + LIMIT_LOG_INTERVAL:
            self.log.info("[*] clones at once: {held}, by how they go; it was {old}", held=held, old=old)
            self._limit_logged, self._limit_logged_at = held, now


@attrs.define
class _Ring:
    """The pools of a provider in rotation. ``asked`` is when some of them were last woken."""

    pools: list[str] = attrs.field(factory=list)
    asked: float = -math.inf

    def turn(self, count: int) -> list[str]:
        """Return the next ``count`` pools, and move them to the end."""
        first, rest = self.pools[:count], self.pools[count:]
        self.pools = [*rest, *first]
        return first


def clone_limit_of(settings: Settings) -> AdaptiveLimit:
    """Return the limit of concurrent clones: a fixed number, or one that adapts to the provider.

    An adaptive limit is at most ``task_limit_max``. If all providers in use have a limit of their own, it is also at
    most the sum of these limits.
    """
    general = settings.general
    if general.task_limit != AUTO:
        return AdaptiveLimit(general.task_limit, least=general.task_limit)
    limits = [settings.providers[name].clone_limit for name in {pool.provider for pool in settings.pools}]
    known = [limit for limit in limits if limit is not None]
    most = min(general.task_limit_max, sum(known)) if len(known) == len(limits) else general.task_limit_max
    return AdaptiveLimit(most)
