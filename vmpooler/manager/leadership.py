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
from vmpooler.domain.adaptive_limit import Bearing
from vmpooler.domain.answers import Answers
from vmpooler.domain.backoff import BUSY_INTERVAL, SECOND_CHECK_DELAY, longest_pause
from vmpooler.domain.estate import Charge
from vmpooler.domain.events import Event, What
from vmpooler.domain.names import Choice
from vmpooler.domain.plan import Rules
from vmpooler.manager.history import Sampler, Told
from vmpooler.manager.loop import Loop
from vmpooler.manager.moved import Former, Moved
from vmpooler.manager.operations_in_flight import OperationsInFlight
from vmpooler.manager.reconciler import LOOKS, Reconciler
from vmpooler.manager.vm_operations import VmOperations
from vmpooler.providers.base import Provider
from vmpooler.settings import AUTO, Pool, Settings, Vsphere
from vmpooler.store.commands.registry import Registry, leftovers
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.queries.pool_state import read_state
from vmpooler.store.redis.commands import Commands

NEIGHBOURS = 10
"""Number of pools of a provider that are woken at once to probe their guests, after a guest did not answer."""

BY_OTHERS = frozenset(
    {What.CHECKOUT, What.UNCLAIMED, What.RETURNED, What.COMPLETED, What.CHANGED, What.RESTORED, What.QUARANTINED}
)
"""The events that may come from another process and give a pool work."""

NOTABLE = 1.25
"""Factor by which the limit of concurrent clones must rise or fall to be logged."""

LIMIT_LOG_INTERVAL = 60.0
"""Minimum seconds between two such log lines."""

LOOK_AGAIN = 30.0
"""Seconds between two checks whether VMs at former places, or of pools that cannot be worked on, are gone."""

NOTHING_LEFT = 3600.0
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
    ``ensure_leading`` is awaited by :class:`~vmpooler.manager.vm_operations.VmOperations` before every order;
    ``sampled`` is called once a minute with the state of the pools; ``drainers`` returns the providers of pools that
    are not configured any more.
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
        drainers: DrainersOf,
    ) -> None:
        self._settings = settings
        self._store = store
        self._assured = assured
        self._providers = providers
        self._clock = clock
        self._wall = wall
        self._choice = choice
        self._drainers = drainers
        self._bearing = bearing_of(settings)
        self._told, self._told_at = self._bearing.held, 0.0
        grace = settings.general.discovered_grace * 60
        self._answers = {name: Answers(grace) for name in providers}
        self._neighbours = {name: _Ring() for name in providers}
        self._queues = Queues(store, settings, limit=lambda: self._bearing.limit)
        self._requests = Tasks(store, settings, choice, "manager")
        self._registry = Registry(store)
        self._intake = Loop("intake", self._adopt, clock)
        past = EventHistory(store, settings.general.events_max)
        self._names = [pool.name for pool in settings.pools]
        """The existing pools: those configured, then those that are drained."""
        self._sampler = Loop("history", Sampler(self._names, store, past, wall, sampled).run, clock)
        self._remainder = Loop("former places", self._look_again, clock)
        self._searched = False
        self._over = False
        self._pools: dict[str, Loop] = {}
        self._rounds: dict[str, Reconciler] = {}
        self._charges: dict[str, Charge] = {}
        self._moved: dict[str, Moved] = {}
        self._near: dict[str, list[str]] = {}
        self._turns = Slots(LOOKS)

    async def begin(self) -> None:
        """Bring what Redis records of the pools up to date, then start all loops, each with a round.

        Raises StoreAway, NotLeading.
        """
        await self._take_stock()
        await self._queues.recount(list(self._pools))
        for name, loop in self._pools.items():
            self.log.info("[*] [{pool}] starting its loop", pool=name)
            loop.start()
        self._intake.start()
        self._sampler.start()
        self._remainder.start()

    async def end(self, seconds: float) -> None:
        """Start no more work, and wait up to ``seconds`` for work in flight."""
        self._over = True
        await gatherResults([Deferred.fromCoroutine(loop.stop()) for loop in self._loops])
        await gatherResults([Deferred.fromCoroutine(each.tasks.drain(seconds)) for each in self._rounds.values()])

    def give_up(self) -> None:
        """Stop everything at once, because another manager leads. Work at the provider continues there."""
        self._over = True
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

    def on_event(self, event: Event) -> None:
        """Handle an event: a listener of the event stream."""
        if event.what in BY_OTHERS:
            self.wake(event.pool)
        elif event.what is What.REQUESTED:
            self._intake.wake()

    @property
    def _loops(self) -> tuple[Loop, ...]:
        return self._intake, self._sampler, self._remainder, *self._pools.values()

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
        await self._say(charges)

    def _take_charge(self, charges: Sequence[Charge]) -> None:
        """Create a loop for each pool that has a provider."""
        lost = [charge.pool for charge in charges if charge.draining and charge.provider]
        lost += [part.pool for charge in charges for part in charge.parts if part.provider]
        drainers = self._drainers(lost) if lost else {}
        self._charges |= {charge.pool.name: charge for charge in charges}
        self._near = estate.neighbours(self._charges.values())
        for number, charge in enumerate(charges):
            if charge.draining and charge.pool.name not in self._names:
                self._names.append(charge.pool.name)
            if charge.provider:
                self._add(charge, drainers, longest_pause(number, len(charges)))

    async def _say(self, charges: Sequence[Charge]) -> None:
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
        if not charges or self._over:
            return
        await self._registry.write([charge.memory for charge in charges if charge.memory is not None], None, None)
        for charge in charges:
            await self._registry.note(charge.pool.name, charge.note)
        self._take_charge(charges)
        for charge in charges:
            if charge.pool.name in self._pools:
                self._pools[charge.pool.name].start()
        await self._say(charges)

    async def _look_again(self) -> float:
        """Check what is left at former places, and of pools that cannot be worked on.

        Client requests for VMs of the latter are refused.
        """
        if not self._searched:
            await self._find_others()
            self._searched = True
        for name, moved in list(self._moved.items()):
            await self._remember_left(name, moved.elsewhere & await self._registry.standing(name))
        stuck = [name for name in self._charges if name not in self._pools]
        for name in stuck:
            for task in (await read_state(self._store, name, self._settings.general.vm_lifetime)).tasks:
                await self._requests.fail(name, task, estate.REFUSED, self._wall(), final=True)
            await self._emptied(name)
        return LOOK_AGAIN if stuck or self._moved else NOTHING_LEFT

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
        if (loop := self._pools.pop(name, None)) is not None:
            Deferred.fromCoroutine(loop.stop())  # the loop ends after this round
        for known in (self._charges, self._rounds, self._moved):
            known.pop(name, None)
        if name in self._names:
            self._names.remove(name)

    async def _adopt(self) -> float:
        """Take up client requests.

        Events wake this loop. Its timer is for requests written by the API of Ruby vmpooler, which sends no events.
        """
        for pool in await self._requests.adopt(list(self._charges), self._wall()):
            self.wake(pool)
            if pool not in self._pools:
                self._remainder.wake()
        return BUSY_INTERVAL

    def _add(self, charge: Charge, drainers: Mapping[str, Provider], longest: float) -> None:
        pool, general = charge.pool, self._settings.general
        provider = drainers[charge.provider] if charge.draining else self._providers[charge.provider]
        unseen: Callable[[], frozenset[str]] = frozenset
        stranded: Callable[[], frozenset[str]] = frozenset
        if charge.parts:
            formers = [Former(part.pool, drainers.get(part.provider), part.vms) for part in charge.parts]
            moved = self._moved[pool.name] = Moved(provider, formers)
            provider, unseen, stranded = moved, lambda: moved.unseen, lambda: moved.stranded
        self._answers.setdefault(pool.provider, Answers(general.discovered_grace * 60))
        self._neighbours.setdefault(pool.provider, _Ring()).pools.append(pool.name)
        tasks = OperationsInFlight(pool.name, self._clock, lambda: self._ended(pool.name))
        wake_after = lambda seconds: self._wake_after(pool.name, seconds)  # noqa: E731 - the loop is made below
        work = VmOperations(
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
        self._rounds[pool.name] = Reconciler(
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
                draining=charge.draining,
            ),
            turns=self._turns,
            of_others=lambda vms: self._registry.of_others(pool.name, self._near[pool.name], vms),
            known=lambda: self._charges,
            emptied=lambda: self._emptied(pool.name),
            unseen=unseen,
            stranded=stranded,
            shared=bool(self._near[pool.name]),
            longest=longest,
        )
        self._pools[pool.name] = Loop(pool.name, self._rounds[pool.name].run, self._clock)

    def _wake_after(self, pool: str, seconds: float) -> None:
        if pool in self._pools:
            self._pools[pool].wake_after(seconds)

    def _ended(self, pool: str) -> None:
        """Wake the pool of an operation that ended, and the pools that wait for a clone."""
        self._tell_limit()
        self.wake(pool)
        for name, each in self._rounds.items():
            if each.refused:
                self.wake(name)

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

    def _tell_limit(self) -> None:
        """Log the limit of concurrent clones when it has changed by much, at most each LIMIT_LOG_INTERVAL seconds."""
        now, held = self._clock.seconds(), self._bearing.held
        if max(held, self._told) >= NOTABLE * min(held, self._told) and now >= self._told_at + LIMIT_LOG_INTERVAL:
            self.log.info("[*] clones at once: {held}, by how they go; it was {told}", held=held, told=self._told)
            self._told, self._told_at = held, now


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


def bearing_of(settings: Settings) -> Bearing:
    """Return the limit of concurrent clones: a fixed number, or one that adapts to the provider.

    An adaptive limit is at most ``task_limit_max``. If all providers in use are vCenters, it is also at most the sum of
    their ``max_clones``.
    """
    general = settings.general
    if general.task_limit != AUTO:
        return Bearing(general.task_limit, least=general.task_limit)
    used = [settings.providers[name] for name in {pool.provider for pool in settings.pools}]
    slots = [each.max_clones for each in used if isinstance(each, Vsphere)]
    return Bearing(min(general.task_limit_max, sum(slots)) if len(slots) == len(used) else general.task_limit_max)
