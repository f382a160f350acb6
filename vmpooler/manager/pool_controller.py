"""One pool of the leader: its loop, its rounds (read, plan, perform), and its operations in flight."""

from collections.abc import Mapping, Sequence

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.logger import Logger

from vmpooler.domain import actions as act
from vmpooler.domain.backoff import BUSY_INTERVAL, CLOCK_TOLERANCE, MIN_INTERVAL, pause
from vmpooler.domain.estate import Charge
from vmpooler.domain.evidence import Answers, in_doubt_since
from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import PoolState, Queue, Vm
from vmpooler.domain.names import vm_name
from vmpooler.domain.plan import Rules, is_stamped, plan_pool, stamped_for_others
from vmpooler.manager.loop import Loop, OperationsInFlight
from vmpooler.manager.moved import Former, Moved
from vmpooler.manager.vm_operations import Term, VmOperations
from vmpooler.providers.base import Provider, ProviderError
from vmpooler.store import keys
from vmpooler.store.queries.pool_state import StoredPool, Trouble, read_state

INVENTORY_TIMEOUT = 60.0
"""Seconds after which the read of an inventory times out."""

FORMER_PLACE_TIMEOUT = 10.0
"""Seconds in which the provider of a former place must answer. After that the pool gets new VMs in addition to those
that stand there."""

Lasting = act.Probe | act.Check | act.PowerOn | act.StaysOff | act.Destroy | act.Seek | act.WriteStamp | act.RunTask
"""The actions that take time and run as operations in flight."""


class PoolController:
    """Keeps a pool full, or drains it: a loop of rounds, and the operations that the rounds start.

    ``provider`` has the present place of the pool's VMs, ``formers`` are former places. VMs of the pools ``near`` stand
    in the same folder. ``longest``: seconds between two rounds of a pool in which nothing is awaited.
    """

    log = Logger()

    def __init__(
        self,
        term: Term,
        charge: Charge,
        provider: Provider,
        formers: Sequence[Former],
        answers: Answers,
        near: Sequence[str],
        longest: float,
    ) -> None:
        name, general = charge.pool.name, term.settings.general
        self._term = term
        self._pool = charge.pool
        self.moved = Moved(provider, formers) if formers else None
        self._provider = self.moved or provider
        self._answers = answers
        self._near = near
        self._longest = longest
        self._queues = term.queues
        self._now = term.wall
        self._rules = Rules(
            grace=general.discovered_grace * 60,
            check_every=general.vm_checktime * 60,
            destroy_foreign=general.destroy_foreign,
            draining=charge.draining,
        )
        self._loop = Loop(name, self._round, term.clock)
        self._in_flight = OperationsInFlight(name, term.clock, lambda: term.operation_ended(name))
        self._operations = VmOperations(term, charge.pool, self._provider, answers, self._loop.wake_after)
        self.refused = False
        """Whether the pool needs a clone and must wait for its turn."""
        self._strangers: frozenset[str] = frozenset()
        """The pools that no manager manages and that VMs in this pool's folder were made for, as last logged."""
        self._unreadable: tuple[str, ...] = ()
        """The troubles and tasks that the last round could not read."""
        self._stamping: set[str] = set()
        """The VMs on which the holder is being written."""
        self._verifiable = True
        """Whether the pool may be marked as verified. This requires two things of the last read of an unverified pool:
        when it began, no stamp was being written on a VM that no client has; and every place of its VMs has answered,
        or had enough time to answer."""
        self._opened = term.clock.seconds()
        """When the manager took charge of the pool."""

    def start(self) -> None:
        """Start the loop with a round."""
        self._loop.start()

    def wake(self) -> None:
        """Run a round at once; if a round is in progress, run another after it."""
        self._loop.wake()

    async def stop(self) -> None:
        """Start no more rounds; return when the round in progress has ended."""
        await self._loop.stop()

    def give_up(self) -> None:
        """Start no more rounds, and cancel the round in progress. Operations in flight go on."""
        self._loop.give_up()

    async def drain(self, seconds: float) -> None:
        """Wait up to ``seconds`` for the operations in flight, then cancel the rest."""
        await self._in_flight.drain(seconds)

    def cancel_operations(self) -> None:
        """Cancel all operations in flight. Work at the provider continues there."""
        self._in_flight.give_up()

    @property
    def _unseen(self) -> frozenset[str]:
        """The VMs about which the last inventory has no information."""
        return self.moved.unseen if self.moved else frozenset()

    @property
    def _stranded(self) -> frozenset[str]:
        """The VMs of ``_unseen`` that no provider can report on."""
        return self.moved.stranded if self.moved else frozenset()

    async def _round(self) -> float:
        """Read, plan and perform; return the seconds until the next round is due if no event comes before.

        Raises StoreAway when Redis is unavailable, NotLeading when another manager leads. What was not done then is
        done by the next round, or by the other manager.
        """
        try:
            busy, inventory, seen = await self._read()
            if not seen.verified:  # the inventory may be older than the loss, and lack a stamp written since
                stamping = frozenset(self._stamping)
                busy, inventory, seen = await self._read()
                self._verifiable = not any(vm.name in stamping for vm in seen.vms if vm.queue is not Queue.RUNNING)
        except ProviderError as error:
            await self._queues.withdraw(self._pool.name)
            await self._release_clones()
            return min(self._longest, await self._queues.fail(self._pool.name, keys.INVENTORY, str(error), self._now()))
        if keys.INVENTORY in seen.troubles:
            await self._queues.recover(self._pool.name, keys.INVENTORY, self._now())
        hidden = self._unseen & {vm.name for vm in seen.vms}
        stranded = self._stranded - busy
        awaited = not seen.verified and self._awaits(hidden - stranded)
        if awaited:
            self._verifiable = False
        withheld = await self._withhold(seen, stranded if seen.verified or awaited else hidden)
        await self._replace_stranded(seen, stranded)
        self._log_unreadable(seen)
        state = state_of(seen, await self._own(inventory, seen), busy | hidden)
        state = self._with_witnesses(state)
        await self._record_unanswered(seen)
        self.refused = False
        decided = self._now()
        plan = plan_pool(self._pool, state, decided, self._rules)
        for action in plan:
            if self._now() < decided - CLOCK_TOLERANCE:
                return MIN_INTERVAL  # Redis's clock was set back: a VM whose time was over may have time left
            await self._perform(action, seen, state)
        if self._rules.draining and not (state.vms or state.inventory or state.busy or state.tasks):
            await self._term.emptied(self._pool.name)
        due = pause(state, self._now(), longest=self._longest)
        if any(isinstance(action, act.Discover) for action in plan):
            return min(MIN_INTERVAL, due)  # the next round decides whether a client has such a VM
        missed = withheld or any(isinstance(action, act.Miss) for action in plan)
        return min(BUSY_INTERVAL, due) if self.refused or missed or awaited else due

    def _log_unreadable(self, seen: StoredPool) -> None:
        """Log once what another version wrote and this one cannot read. It is not changed."""
        for text in seen.unreadable:
            if text not in self._unreadable:
                self.log.warn("[!] [{pool}] cannot be read, and is left alone: {text}", pool=self._pool.name, text=text)
        self._unreadable = seen.unreadable

    async def _release_clones(self) -> None:
        """Stop counting clones of the pool that no operation in this process waits for.

        While the provider is unavailable, they would use up the clone limit of pools whose provider works. When it is
        back, the inventory shows what became of them.
        """
        busy = self._in_flight.busy()
        for vm in await self._queues.cloning(self._pool.name):
            if vm not in busy:
                await self._queues.end_clone(self._pool.name, vm, None, self._now())

    async def _read(self) -> tuple[frozenset[str], Mapping[str, Guest], StoredPool]:
        """Return the busy VMs, the inventory, and the queues, read in this order. Raises ProviderError."""
        # Note [Order of a read]: in this order, a VM that is created or destroyed during the read is in ``busy``. So it
        # is never treated as unknown or missing.
        lifetime = self._term.settings.general.vm_lifetime
        busy = self._in_flight.busy()
        inventory = await self._inventory()
        async with self._term.reads:
            return busy, inventory, await read_state(self._term.store, self._pool.name, lifetime)

    async def _inventory(self) -> Mapping[str, Guest]:
        asked = Deferred.fromCoroutine(self._provider.inventory(self._pool))
        try:
            return await asked.addTimeout(INVENTORY_TIMEOUT, self._term.clock)
        except DeferTimeout:
            raise ProviderError(f"the provider did not answer within {INVENTORY_TIMEOUT:g} s") from None

    async def _withhold(self, seen: StoredPool, unseen: frozenset[str]) -> bool:
        """Withhold from clients the ready VMs whose places cannot be read now; return whether there were any.

        It is not known whether these VMs are alive, or what is written on them. The pool gets new VMs in addition to
        them.
        """
        found = [vm.name for vm in seen.vms if vm.name in unseen and vm.queue is Queue.READY and vm.since is None]
        for name in found:
            await self._queues.miss(self._pool.name, name, Queue.READY, True, self._now())
        return bool(found)

    def _awaits(self, late: frozenset[str]) -> bool:
        """Return whether the places of these VMs may still answer: their providers were started only just now."""
        return bool(late) and self._term.clock.seconds() - self._opened < FORMER_PLACE_TIMEOUT

    async def _replace_stranded(self, seen: StoredPool, stranded: frozenset[str]) -> None:
        """Complete, after the grace, pending and ready VMs at places that no provider can read.

        They are destroyed when their provider is back. The grace is for a provider that was only renamed.
        """
        now = self._now()
        for vm in seen.vms:
            since = vm.ordered if vm.queue is Queue.PENDING else vm.since if vm.queue is Queue.READY else None
            if vm.name in stranded and since is not None and now - since >= self._rules.grace:
                why = "stands at a former place of its pool that no provider has"
                await self._queues.complete(self._pool.name, vm.name, vm.queue, why, now)

    async def _own(self, inventory: Mapping[str, Guest], seen: StoredPool) -> Mapping[str, Guest]:
        """Return the inventory without VMs of other pools in the same folder: those pools decide about them."""
        mine = {vm.name for vm in seen.vms if vm.queue is not Queue.DISCOVERED}
        strange = [name for name in inventory if name not in mine]
        if not strange:
            return inventory
        stamped = stamped_for_others(inventory, strange, self._pool.name)
        theirs = await self._term.registry.of_others(self._pool.name, self._near, strange)
        self._log_strangers({owner for name, owner in stamped.items() if name not in theirs} - set(self._term.pools()))
        others = theirs | stamped.keys()
        if self._rules.draining:  # VMs that a drained pool did not make are noted by the remaining pools
            shared = bool(self._near)
            others |= {name for name in strange if not is_stamped(inventory[name], name, self._pool.name, shared)}
        return {name: guest for name, guest in inventory.items() if name not in others}

    def _log_strangers(self, owners: set[str]) -> None:
        if owners - self._strangers:
            text = "[!] [{pool}] beside its VMs stand some of pools that nobody manages: {owners}; they are left alone"
            self.log.warn(text, pool=self._pool.name, owners=", ".join(sorted(owners)))
        self._strangers = frozenset(owners)

    def _with_witnesses(self, state: PoolState) -> PoolState:
        """Add to the state how many ready VMs to probe early, from the answers of the provider's guests."""
        now, answers = self._now(), self._answers
        doubts = {vm.name: in_doubt_since(vm, now) for vm in state.vms if vm.queue in (Queue.PENDING, Queue.READY)}
        answers.restate(self._pool.name, {vm: since for vm, since in doubts.items() if since is not None})
        witnesses, since = answers.wanted(now)
        return attrs.evolve(state, witnesses=witnesses, witnesses_since=since)

    async def _record_unanswered(self, seen: StoredPool) -> None:
        """Record once that VMs are kept although their guests do not answer, and once that this has ended."""
        why = self._answers.guards(self._pool.name, self._now())
        if why and keys.ANSWERS not in seen.troubles:
            await self._queues.fail(self._pool.name, keys.ANSWERS, why, self._now())
        elif not why and keys.ANSWERS in seen.troubles:
            await self._queues.recover(self._pool.name, keys.ANSWERS, self._now())

    async def _perform(self, action: act.Action, seen: StoredPool, state: PoolState) -> None:  # noqa: C901 - one case for each action
        pool, now = self._pool.name, self._now()
        match action:
            case act.Clone(count, beside):
                await self._clone(count, self._pool.size + beside)
            case act.Release(vm):
                await self._queues.end_clone(pool, vm, None, now)
            case act.Complete(vm, queue, why, terms):
                await self._queues.complete(pool, vm, queue, why, now, terms)
            case act.Discover(vm, stamped):
                await self._queues.discover(pool, vm, stamped, now)
            case act.Explain(vm, why):
                await self._queues.explain(pool, vm, why, now)
            case act.Reclaim(vm, queue, holder, why):
                await self._queues.reclaim(pool, vm, queue, holder, why, now)
            case act.Miss(vm, queue):
                await self._queues.miss(pool, vm, queue, True, now)
            case act.Welcome(vm, queue):
                await self._queues.miss(pool, vm, queue, False, now)
                if any(each.failures for each in state.vms if each.name == vm):
                    await self._queues.recover(pool, vm, now)
            case act.Recover(vm):
                await self._queues.recover(pool, vm, now)
            case act.Mend(vm, queue):
                await self._queues.mend(pool, vm, queue, now)
            case act.Settle(vm, queue, others):
                await self._queues.settle(pool, vm, queue, others, now)
            case act.Flag(why):
                await self._queues.flag(pool, why, now)
            case act.Unflag():
                await self._queues.flag(pool, "", now)
            case act.NoteMissing(""):
                await self._queues.recover(pool, keys.MISSING, now)
            case act.NoteMissing(why):
                await self._queues.fail(pool, keys.MISSING, why, now)
            case act.Verify():
                if self._verifiable:  # a stamp that was being written may name a client
                    await self._queues.verify(pool, seen.doubted)
            case act.NoteEmpty():
                await self._queues.note_empty(pool, now)
            case act.Withdraw():
                await self._queues.withdraw(pool)
            case act.DropTask(task, why):
                await self._term.requests.fail(pool, task, why, now, final=True)
            case _:
                self._begin(action, state)

    def _begin(self, action: Lasting, state: PoolState) -> None:
        """Start an action that takes time."""
        vm, operations = next(vm for vm in state.vms if vm.name == action.vm), self._operations
        match action:
            case act.Probe(_, last, since):
                work = operations.probe(vm, state.inventory[vm.name], last, since, state.power_fails)
            case act.Check(_, since):
                work = operations.check(vm, state.inventory[vm.name], since)
            case act.PowerOn():
                work = operations.power_on(vm)
            case act.StaysOff(_, why):
                work = operations.stays_off(vm, why)
            case act.Destroy():
                work = operations.destroy(vm, state.inventory.get(vm.name))
            case act.Seek():
                work = operations.seek(vm)
            case act.WriteStamp(_, holder):
                work = self._stamp(vm, holder)
            case act.RunTask(_, task):
                work = operations.run_task(task)
        self._in_flight.start(vm.name, work)

    async def _stamp(self, vm: Vm, holder: Holder | None) -> None:
        self._stamping.add(vm.name)
        try:
            await self._operations.stamp(vm, holder)
        finally:
            self._stamping.discard(vm.name)

    async def _clone(self, count: int, size: int) -> None:
        """Order ``count`` clones; stop when the pool is full or must wait for its turn."""
        while count > 0:
            name = vm_name(self._term.choice, self._term.settings.general.prefix)
            match await self._queues.begin_clone(self._pool.name, name, size, self._now()):
                case "ok":
                    longest = self._pool.timeout * 60 + INVENTORY_TIMEOUT
                    self._in_flight.start(name, self._operations.clone(name), longest)
                    count -= 1
                case "taken":
                    continue
                case "limit":
                    self.refused = True
                    return
                case "full":
                    return


def state_of(seen: StoredPool, inventory: Mapping[str, Guest], busy: frozenset[str]) -> PoolState:
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
