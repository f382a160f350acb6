"""One pool's round: look, plan, perform."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from vmpooler.deferreds import Slots
from vmpooler.domain import actions as act
from vmpooler.domain.backoff import BUSY_INTERVAL, CLOCK_TOLERANCE, IDLE_INTERVAL, MIN_INTERVAL, pause
from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import PoolState, Queue, Vm
from vmpooler.domain.names import Choice, vm_name
from vmpooler.domain.plan import Rules, is_stamped, plan_pool, stamped_for_others
from vmpooler.domain.vm_policy import in_doubt_since
from vmpooler.manager.operations_in_flight import OperationsInFlight
from vmpooler.manager.vm_operations import VmOperations
from vmpooler.providers.base import Provider, ProviderError
from vmpooler.settings import Pool
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.queries.pool_state import Look, Trouble, read_state
from vmpooler.store.redis.commands import Commands

INVENTORY_TIMEOUT = 60.0
"""Seconds after which the read of an inventory times out."""

FORMER_PLACE_TIMEOUT = 10.0
"""Seconds in which the provider of a former place must answer. After that the pool gets new VMs in addition to those
that stand there."""

LOOKS = 8
"""Maximum number of pools that are read from Redis at once: if a thousand pools started together, the commands of
clients and of work in flight would wait for all of them."""

Lasting = act.Probe | act.Check | act.PowerOn | act.StaysOff | act.Destroy | act.Seek | act.WriteStamp | act.RunTask
"""The actions that take time and run as operations in flight."""


@attrs.define
class Reconciler:
    """Everything that a round of a pool needs; :meth:`run` is one round.

    ``turns`` limits how many pools are read from Redis at once. ``of_others`` returns the VMs that stand in the queues
    of other pools, ``known`` the pools that exist, ``unseen`` the VMs about which the last inventory has no
    information, and ``stranded`` those of ``unseen`` that no provider can report on. ``shared``: VMs of another pool
    stand in the same folder. ``emptied`` is called after a round of a drained pool that found nothing. ``longest``:
    seconds between two rounds of a pool in which nothing is awaited.
    """

    pool: Pool
    provider: Provider
    connection: Commands
    queues: Queues
    tasks: OperationsInFlight
    work: VmOperations
    clock: IReactorTime
    wall: Callable[[], float]
    choice: Choice
    prefix: str
    lifetime: float
    rules: Rules
    turns: Slots
    of_others: Callable[[Sequence[str]], Awaitable[frozenset[str]]]
    known: Callable[[], Collection[str]]
    emptied: Callable[[], Awaitable[None]]
    unseen: Callable[[], frozenset[str]] = frozenset
    stranded: Callable[[], frozenset[str]] = frozenset
    shared: bool = False
    longest: float = IDLE_INTERVAL
    refused: bool = False
    """Whether the pool needs a clone and must wait for its turn."""
    strangers: frozenset[str] = frozenset()
    """The pools that no manager manages and that VMs in this pool's folder were made for, as last logged."""
    unreadable: tuple[str, ...] = ()
    """The troubles and tasks that the last round could not read."""
    stamping: set[str] = attrs.field(factory=set)
    """The VMs on which the holder is being written."""
    verifiable: bool = True
    """Whether the pool may be marked as verified. This requires two things of the last look at an unverified pool: when
    it began, no stamp was being written on a VM that no client has; and every place of its VMs has answered, or had
    enough time to answer."""
    opened: float = attrs.field(init=False)
    """When the manager took charge of the pool, in seconds of ``clock``."""

    log = Logger()

    @opened.default
    def _now_of_clock(self) -> float:
        return self.clock.seconds()

    async def run(self) -> float:
        """Look, plan and perform; return the seconds until the next round is due if no event comes before.

        Raises StoreAway when Redis is unavailable, NotLeading when another manager leads. What was not done then is
        done by the next round, or by the other manager.
        """
        try:
            busy, inventory, seen = await self._look()
            if not seen.verified:  # the inventory may be older than the loss, and lack a stamp written since
                stamping = frozenset(self.stamping)
                busy, inventory, seen = await self._look()
                self.verifiable = not any(vm.name in stamping for vm in seen.vms if vm.queue is not Queue.RUNNING)
        except ProviderError as error:
            await self.queues.withdraw(self.pool.name)
            await self._release_clones()
            return min(self.longest, await self.queues.fail(self.pool.name, keys.INVENTORY, str(error), self._now()))
        if keys.INVENTORY in seen.troubles:
            await self.queues.recover(self.pool.name, keys.INVENTORY, self._now())
        hidden = self.unseen() & {vm.name for vm in seen.vms}
        stranded = self.stranded() - busy
        awaited = not seen.verified and self._awaits(hidden - stranded)
        if awaited:
            self.verifiable = False
        withheld = await self._withhold(seen, stranded if seen.verified or awaited else hidden)
        await self._replace_stranded(seen, stranded)
        self._say_unreadable(seen)
        state = state_of(seen, await self._own(inventory, seen), busy | hidden)
        state = self._with_witnesses(state)
        await self._tell_answers(seen)
        self.refused = False
        decided = self._now()
        plan = plan_pool(self.pool, state, decided, self.rules)
        for action in plan:
            if self._now() < decided - CLOCK_TOLERANCE:
                return MIN_INTERVAL  # Redis's clock was set back: a VM whose time was over may have time left
            await self._perform(action, seen, state)
        if self.rules.draining and not (state.vms or state.inventory or state.busy or state.tasks):
            await self.emptied()
        due = pause(state, self._now(), longest=self.longest)
        if any(isinstance(action, act.Discover) for action in plan):
            return min(MIN_INTERVAL, due)  # the next round decides whether a client has such a VM
        missed = withheld or any(isinstance(action, act.Miss) for action in plan)
        return min(BUSY_INTERVAL, due) if self.refused or missed or awaited else due

    def _say_unreadable(self, seen: Look) -> None:
        """Log once what another version wrote and this one cannot read. It is not changed."""
        for text in seen.unreadable:
            if text not in self.unreadable:
                self.log.warn("[!] [{pool}] cannot be read, and is left alone: {text}", pool=self.pool.name, text=text)
        self.unreadable = seen.unreadable

    async def _release_clones(self) -> None:
        """Stop counting clones of the pool that no operation in this process waits for.

        While the provider is unavailable, they would use up the clone limit of pools whose provider works. When it is
        back, the inventory shows what became of them.
        """
        busy = self.tasks.busy()
        for vm in await self.queues.cloning(self.pool.name):
            if vm not in busy:
                await self.queues.end_clone(self.pool.name, vm, None, self._now())

    async def _look(self) -> tuple[frozenset[str], Mapping[str, Guest], Look]:
        """Return the busy VMs, the inventory, and the queues, read in this order. Raises ProviderError."""
        # Note [Order of a look]: in this order, a VM that is created or destroyed during the look is in ``busy``. So it
        # is never treated as unknown or missing.
        busy = self.tasks.busy()
        inventory = await self._inventory()
        async with self.turns:
            return busy, inventory, await read_state(self.connection, self.pool.name, self.lifetime)

    async def _inventory(self) -> Mapping[str, Guest]:
        asked = Deferred.fromCoroutine(self.provider.inventory(self.pool))
        try:
            return await asked.addTimeout(INVENTORY_TIMEOUT, self.clock)
        except DeferTimeout:
            raise ProviderError(f"the provider did not answer within {INVENTORY_TIMEOUT:g} s") from None

    async def _withhold(self, seen: Look, unseen: frozenset[str]) -> bool:
        """Withhold from clients the ready VMs whose places cannot be read now; return whether there were any.

        It is not known whether these VMs are alive, or what is written on them. The pool gets new VMs in addition to
        them.
        """
        found = [vm.name for vm in seen.vms if vm.name in unseen and vm.queue is Queue.READY and vm.since is None]
        for name in found:
            await self.queues.miss(self.pool.name, name, Queue.READY, True, self._now())
        return bool(found)

    def _awaits(self, late: frozenset[str]) -> bool:
        """Return whether the places of these VMs may still answer: their providers were started only just now."""
        return bool(late) and self.clock.seconds() - self.opened < FORMER_PLACE_TIMEOUT

    async def _replace_stranded(self, seen: Look, stranded: frozenset[str]) -> None:
        """Complete, after the grace, pending and ready VMs at places that no provider can read.

        They are destroyed when their provider is back. The grace is for a provider that was only renamed.
        """
        now = self._now()
        for vm in seen.vms:
            since = vm.ordered if vm.queue is Queue.PENDING else vm.since if vm.queue is Queue.READY else None
            if vm.name in stranded and since is not None and now - since >= self.rules.grace:
                why = "stands at a former place of its pool that no provider has"
                await self.queues.complete(self.pool.name, vm.name, vm.queue, why, now)

    async def _own(self, inventory: Mapping[str, Guest], seen: Look) -> Mapping[str, Guest]:
        """Return the inventory without VMs of other pools in the same folder: those pools decide about them."""
        mine = {vm.name for vm in seen.vms if vm.queue is not Queue.DISCOVERED}
        strange = [name for name in inventory if name not in mine]
        if not strange:
            return inventory
        stamped = stamped_for_others(inventory, strange, self.pool.name)
        theirs = await self.of_others(strange)
        self._tell_strangers({owner for name, owner in stamped.items() if name not in theirs} - set(self.known()))
        others = theirs | stamped.keys()
        if self.rules.draining:  # VMs that a drained pool did not make are noted by the remaining pools
            others |= {name for name in strange if not is_stamped(inventory[name], name, self.pool.name, self.shared)}
        return {name: guest for name, guest in inventory.items() if name not in others}

    def _tell_strangers(self, owners: set[str]) -> None:
        if owners - self.strangers:
            text = "[!] [{pool}] beside its VMs stand some of pools that nobody manages: {owners}; they are left alone"
            self.log.warn(text, pool=self.pool.name, owners=", ".join(sorted(owners)))
        self.strangers = frozenset(owners)

    def _with_witnesses(self, state: PoolState) -> PoolState:
        """Add to the state how many ready VMs to probe early, from the answers of the provider's guests."""
        now, answers = self._now(), self.work.answers
        doubts = {vm.name: in_doubt_since(vm, now) for vm in state.vms if vm.queue in (Queue.PENDING, Queue.READY)}
        answers.restate(self.pool.name, {vm: since for vm, since in doubts.items() if since is not None})
        witnesses, since = answers.wanted(now)
        return attrs.evolve(state, witnesses=witnesses, witnesses_since=since)

    async def _tell_answers(self, seen: Look) -> None:
        """Record once that VMs are kept although their guests do not answer, and once that this has ended."""
        why = self.work.answers.guards(self.pool.name, self._now())
        if why and keys.ANSWERS not in seen.troubles:
            await self.queues.fail(self.pool.name, keys.ANSWERS, why, self._now())
        elif not why and keys.ANSWERS in seen.troubles:
            await self.queues.recover(self.pool.name, keys.ANSWERS, self._now())

    async def _perform(self, action: act.Action, seen: Look, state: PoolState) -> None:  # noqa: C901 - an arm each
        pool, now = self.pool.name, self._now()
        match action:
            case act.Clone(count, beside):
                await self._clone(count, self.pool.size + beside)
            case act.Release(vm):
                await self.queues.end_clone(pool, vm, None, now)
            case act.Complete(vm, queue, why, terms):
                await self.queues.complete(pool, vm, queue, why, now, terms)
            case act.Discover(vm, stamped):
                await self.queues.discover(pool, vm, stamped, now)
            case act.Explain(vm, why):
                await self.queues.explain(pool, vm, why, now)
            case act.Reclaim(vm, queue, holder, why):
                await self.queues.reclaim(pool, vm, queue, holder, why, now)
            case act.Miss(vm, queue):
                await self.queues.miss(pool, vm, queue, True, now)
            case act.Welcome(vm, queue):
                await self.queues.miss(pool, vm, queue, False, now)
                if any(each.failures for each in state.vms if each.name == vm):
                    await self.queues.recover(pool, vm, now)
            case act.Recover(vm):
                await self.queues.recover(pool, vm, now)
            case act.Mend(vm, queue):
                await self.queues.mend(pool, vm, queue, now)
            case act.Settle(vm, queue, others):
                await self.queues.settle(pool, vm, queue, others, now)
            case act.Flag(why):
                await self.queues.flag(pool, why, now)
            case act.Unflag():
                await self.queues.flag(pool, "", now)
            case act.NoteMissing(why):
                await (self.queues.fail(pool, keys.MISSING, why, now) if why else self._believe(now))
            case act.Verify():
                if self.verifiable:  # a stamp that was being written may name a client
                    await self.queues.verify(pool, seen.doubted)
            case act.NoteEmpty():
                await self.queues.note_empty(pool, now)
            case act.Withdraw():
                await self.queues.withdraw(pool)
            case act.DropTask(task, why):
                await self.work.requests.fail(pool, task, why, now, final=True)
            case _:
                self._begin(action, state)

    async def _believe(self, now: float) -> None:
        """Record that the inventory is trusted again."""
        await self.queues.recover(self.pool.name, keys.MISSING, now)

    def _begin(self, action: Lasting, state: PoolState) -> None:
        """Start an action that takes time."""
        vm = next(vm for vm in state.vms if vm.name == action.vm)
        match action:
            case act.Probe(_, last, since):
                work = self.work.probe(vm, state.inventory[vm.name], last, since, state.power_fails)
                self.tasks.start(vm.name, work)
            case act.Check(_, since):
                self.tasks.start(vm.name, self.work.check(vm, state.inventory[vm.name], since))
            case act.PowerOn():
                self.tasks.start(vm.name, self.work.power_on(vm))
            case act.StaysOff(_, why):
                self.tasks.start(vm.name, self.work.stays_off(vm, why))
            case act.Destroy():
                self.tasks.start(vm.name, self.work.destroy(vm, state.inventory.get(vm.name)))
            case act.Seek():
                self.tasks.start(vm.name, self.work.seek(vm))
            case act.WriteStamp(_, holder):
                self.tasks.start(vm.name, self._stamp(vm, holder))
            case act.RunTask(_, task):
                self.tasks.start(vm.name, self.work.run_task(task))

    async def _stamp(self, vm: Vm, holder: Holder | None) -> None:
        self.stamping.add(vm.name)
        try:
            await self.work.stamp(vm, holder)
        finally:
            self.stamping.discard(vm.name)

    async def _clone(self, count: int, size: int) -> None:
        """Order ``count`` clones; stop when the pool is full or must wait for its turn."""
        while count > 0:
            name = vm_name(self.choice, self.prefix)
            match await self.queues.begin_clone(self.pool.name, name, size, self._now()):
                case "ok":
                    self.tasks.start(name, self.work.clone(name), longest=self.pool.timeout * 60 + INVENTORY_TIMEOUT)
                    count -= 1
                case "taken":
                    continue
                case "limit":
                    self.refused = True
                    return
                case "full":
                    return

    def _now(self) -> float:
        return self.wall()


def state_of(seen: Look, inventory: Mapping[str, Guest], busy: frozenset[str]) -> PoolState:
    """Convert what was read from Redis and the provider into the state that the planner uses."""
    growing = [seen.troubles.get(subject, Trouble()) for subject in (keys.CLONES, keys.POWER)]
    return PoolState(
        vms=seen.vms,
        inventory=inventory,
        busy=busy,
        cloning=frozenset(seen.cloning),
        clone_failures=max(trouble.tries for trouble in growing),
        clones_after=max(trouble.until for trouble in growing),
        power_fails=keys.POWER in seen.troubles,
        confirmed=seen.confirmed,
        flagged=seen.flagged,
        empty=seen.empty,
        waiting=seen.waiting,
        tasks=seen.tasks,
        verified=seen.verified,
        distrusts=keys.MISSING in seen.troubles,
    )
