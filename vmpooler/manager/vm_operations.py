"""The operations on VMs, and what they share with all pools of a leadership term.

Each operation calls the provider and records the outcome in Redis. If Redis is unavailable in between, only the record
is lost: the next round reads the provider's state and continues.
"""

from collections.abc import Awaitable, Callable, Collection

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferTimeout
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import Slots
from vmpooler.domain.adaptive_limit import AdaptiveLimit
from vmpooler.domain.backoff import PROBE_RETRY_DELAY
from vmpooler.domain.evidence import Answers, Claim, claim
from vmpooler.domain.guest import Guest, Holder
from vmpooler.domain.model import Queue, Vm
from vmpooler.domain.names import Choice
from vmpooler.domain.plan import is_stamped
from vmpooler.domain.tasks import Kind, Task, gigabytes
from vmpooler.domain.vm_policy import is_misnamed
from vmpooler.providers.base import NoAnswer, Provider, ProviderError
from vmpooler.settings import Pool, Settings
from vmpooler.store import keys
from vmpooler.store.commands.registry import Registry
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.redis.scripts import RedisCommands

UNNAMED = "-"
"""Stands in a record for a checkout without an id whose holder was written on the VM. See stamp.lua."""


@attrs.frozen(kw_only=True)
class Term:
    """What all pools of one term share.

    ``ensure_leading`` is awaited before every order to a provider: it returns when this manager certainly leads, and
    raises NotLeading when it does not lead any more. ``clone_limit`` counts every clone. ``reads`` limits how many
    pools are read from Redis at once. ``pools`` returns the pools that exist. The others are called with the name of a
    pool after each of its operations (``operation_ended``) and after a round of a drained pool that found nothing
    (``emptied``), and with the name of a provider after a failed check of one of its guests (``unsure``), so that
    others are checked too.
    """

    settings: Settings
    store: RedisCommands
    queues: Queues
    requests: Tasks
    registry: Registry
    clock: IReactorTime
    wall: Callable[[], float]
    choice: Choice
    ensure_leading: Callable[[], Awaitable[None]]
    clone_limit: AdaptiveLimit
    reads: Slots
    pools: Callable[[], Collection[str]]
    operation_ended: Callable[[str], None]
    emptied: Callable[[str], Awaitable[None]]
    unsure: Callable[[str], None]


@attrs.frozen
class VmOperations:
    """The operations of one pool; each is a coroutine for :class:`OperationsInFlight`.

    ``answers`` counts every check of a guest whose failure may complete its VM.
    """

    term: Term
    pool: Pool
    provider: Provider
    answers: Answers
    wake_after: Callable[[float], None]

    async def clone(self, name: str) -> None:
        """Clone a VM. A failed clone is completed: where its outcome is unknown, it may have left something."""
        pool, start = self.pool.name, self.term.clock.seconds()
        await self.term.ensure_leading()
        try:
            await self._make(name)
        except (ProviderError, DeferTimeout) as error:
            why = str(error) if isinstance(error, ProviderError) else f"no end after {self.pool.timeout:g} minutes"
            await self.term.queues.fail(pool, keys.CLONES, why, self.term.wall())
            await self.term.queues.complete(pool, name, Queue.PENDING, f"could not be cloned: {why}", self.term.wall())
        else:
            await self.term.queues.end_clone(pool, name, self.term.clock.seconds() - start, self.term.wall())

    async def _make(self, name: str) -> None:
        """Clone a VM at the provider, and record the outcome for the limit of concurrent clones."""
        clone, done = self.term.clone_limit.begin(self.pool.name, self.term.clock.seconds()), None
        try:
            made = Deferred.fromCoroutine(self.provider.clone(self.pool, name))
            await made.addTimeout(self.pool.timeout * 60, self.term.clock)
            done = True
        except (ProviderError, DeferTimeout):
            done = False
            raise
        finally:
            self.term.clone_limit.end(clone, self.term.clock.seconds(), done=done)

    async def probe(self, vm: Vm, guest: Guest, last: bool, since: float | None, power_fails: bool) -> None:
        """Make a pending VM ready if it answers, else probe it again later.

        If its time is up (``last``) and no probe has succeeded since ``since``, ``_unanswered`` may complete it.
        """
        try:
            await self.provider.probe(self.pool, guest)
        except NoAnswer as error:
            if not last:
                self.wake_after(PROBE_RETRY_DELAY)
                return
            why = f"marked as 'failed' after {self.pool.timeout:g} minutes: {error}"
            await self._unanswered(vm, Queue.PENDING, since, why)
        except ProviderError as error:
            await self._provider_failed(vm, error)
        else:
            now = self.term.wall()
            self.answers.answered(self.pool.name, vm.name, now)
            seconds = None if vm.ordered is None else now - vm.ordered
            await self.term.queues.promote(self.pool.name, vm.name, guest.address, seconds, now)
            await self._worked(vm)
            if power_fails:
                await self.term.queues.recover(self.pool.name, keys.POWER, now)

    async def check(self, vm: Vm, guest: Guest, since: float | None) -> None:
        """Check a ready VM; complete it if it does not answer under its name, and has not since ``since``."""
        self.answers.ask(vm.name)
        try:
            if is_misnamed(guest, vm.name):
                await self._unanswered(vm, Queue.READY, since, f"has mismatched hostname '{guest.hostname}'")
                return
            await self.provider.probe(self.pool, guest)
        except NoAnswer as error:
            await self._unanswered(vm, Queue.READY, since, f"is unreachable: {error}")
        except ProviderError as error:
            await self._provider_failed(vm, error)
        else:
            self.answers.answered(self.pool.name, vm.name, self.term.wall())
            await self.term.queues.check(vm.name, self.term.wall())
            await self._worked(vm)
        finally:
            self.answers.drop(vm.name)

    async def _unanswered(self, vm: Vm, queue: Queue, since: float | None, why: str) -> None:
        """Handle a failed check of a VM: complete the VM if an earlier check failed too and the failure is believed.

        Otherwise check it again later. See Note [When a failed check is believed].
        """
        pool, now = self.pool.name, self.term.wall()
        self.answers.failed(pool, vm.name, now if since is None else since)
        if since is not None and self.answers.believes(since, now):
            await self.term.queues.complete(pool, vm.name, queue, why, now)
        else:
            await self.term.queues.doubt(pool, vm.name, queue, why, now, first=since is None)
            self.term.unsure(self.pool.provider)

    async def power_on(self, vm: Vm) -> None:
        """Switch a pending VM on, once; complete it if that fails. If the provider is unavailable, retry later."""
        await self.term.ensure_leading()
        await self.term.queues.note_power(vm.name, self.term.wall())
        try:
            await self.provider.power_on(self.pool, vm.name)
        except ProviderError as error:
            if self.provider.trouble():
                await self.term.queues.note_power(vm.name, None)
                await self._provider_failed(vm, error)
            else:
                await self.stays_off(vm, f"was off after its clone and could not be switched on: {error}")
        else:
            why = "it was off after its clone, and is switched on"
            await self.term.queues.fail(self.pool.name, vm.name, why, self.term.wall())

    async def stays_off(self, vm: Vm, why: str) -> None:
        """Complete a pending VM that cannot be switched on.

        A hypervisor without capacity for this VM has none for the next one either: the clones of the pool wait, longer
        each time, until a VM is ready.
        """
        pool, now = self.pool.name, self.term.wall()
        await self.term.queues.fail(pool, keys.POWER, why, now)
        await self.term.queues.complete(pool, vm.name, Queue.PENDING, why, now)

    async def destroy(self, vm: Vm, guest: Guest | None) -> None:
        """Destroy a completed VM and forget it.

        A VM that stands elsewhere and whose stamp names a client moves back to running instead.
        """
        start = self.term.clock.seconds()
        await self.term.ensure_leading()
        try:
            if guest is None and (held := await self._held_elsewhere(vm)):
                now = self.term.wall()
                await self.term.queues.reclaim(self.pool.name, vm.name, vm.queue, held.holder, held.why, now)
                return
            await self.provider.destroy(self.pool, vm.name)
        except ProviderError as error:
            await self._provider_failed(vm, error)
        else:
            await self.term.queues.forget(self.pool.name, vm.name, self.term.clock.seconds() - start, self.term.wall())

    async def _held_elsewhere(self, vm: Vm) -> Claim | None:
        guest = await self.provider.find(self.pool, vm.name)
        return claim(vm, guest, is_stamped(guest, vm.name, self.pool.name), verified=True)

    async def seek(self, vm: Vm) -> None:
        """Search for a running VM that is missing, and record where it is, at growing intervals.

        Its absence ends nothing, because its client may be using it.
        """
        try:
            guest = await self.provider.find(self.pool, vm.name)
        except ProviderError as error:
            await self._provider_failed(vm, error)
        else:
            why = "the provider does not have it" if guest is None else "is not where the pool's VMs are"
            await self.term.queues.fail(self.pool.name, vm.name, why, self.term.wall())

    async def run_task(self, task: Task) -> None:
        """Perform what a client requested."""
        pool, provider = self.pool, self.provider
        if task.kind is Kind.DISK and not gigabytes(task.argument):
            await self.term.requests.fail(pool.name, task, "this is no number of GB", self.term.wall(), final=True)
            return
        await self.term.ensure_leading()
        try:
            match task.kind:
                case Kind.DISK:
                    await provider.add_disk(pool, task.vm, gigabytes(task.argument), task.id)
                case Kind.SNAPSHOT:
                    await provider.snapshot(pool, task.vm, task.argument)
                case Kind.REVERT:
                    await provider.revert(pool, task.vm, task.argument)
        except ProviderError as error:
            await self.term.requests.fail(pool.name, task, str(error), self.term.wall())
        else:
            await self.term.requests.finish(pool.name, task, self.term.wall())

    async def stamp(self, vm: Vm, holder: Holder | None) -> None:
        """Write the holder of a VM on the VM; with None, write that no client has it, and move it back to ready."""
        pool, now = self.pool.name, self.term.wall()
        is_noted = holder is None or vm.stamping == (holder.checkout_id or UNNAMED)
        if holder and not is_noted and not await self.term.queues.stamp(pool, vm.name, holder.checkout_id, now):
            return  # its client never got it, or is done with it
        await self.term.ensure_leading()
        try:
            await self.provider.stamp(self.pool, vm.name, holder)
        except ProviderError as error:
            await self._provider_failed(vm, error)
        else:
            await self._worked(vm)
            if holder is None:
                await self.term.queues.put_back(pool, vm.name, self.term.wall())

    async def _worked(self, vm: Vm) -> None:
        """Clear the trouble and the doubt of a VM, if any."""
        if vm.failures or vm.doubted is not None:
            await self.term.queues.recover(self.pool.name, vm.name, self.term.wall())

    async def _provider_failed(self, vm: Vm, error: ProviderError) -> None:
        await self.term.queues.fail(self.pool.name, vm.name, str(error), self.term.wall())
