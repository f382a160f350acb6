"""Plans a round of a pool: first decides on each VM, then counts the VMs."""

import math
from collections.abc import Collection, Iterable, Mapping

import attrs

from vmpooler.domain.actions import (
    Action,
    Check,
    Clone,
    Complete,
    Discover,
    DropTask,
    Flag,
    NoteEmpty,
    NoteMissing,
    Reclaim,
    Release,
    RunTask,
    StaysOff,
    Unflag,
    Verify,
    VmAction,
    Welcome,
    Withdraw,
    WriteStamp,
)
from vmpooler.domain.backoff import SECOND_CHECK_DELAY, backs_off, waits
from vmpooler.domain.estate import NOT_CONFIGURED, REFUSED
from vmpooler.domain.guest import Guest
from vmpooler.domain.model import PoolState, Queue, Vm
from vmpooler.domain.tasks import Task
from vmpooler.domain.vm_policy import CLONE_SETTLES, Case, next_action
from vmpooler.settings import Pool

ALIVE = (Queue.PENDING, Queue.READY, Queue.RUNNING)
"""The queues of VMs that are not completed."""


@attrs.frozen
class Rules:
    """Rules for a pool in addition to its settings. Times are in seconds.

    ``check_every`` is the time between two checks of a ready VM. ``draining``: the pool is not configured any more.
    """

    grace: float = 600.0
    check_every: float = 900.0
    destroy_foreign: bool = False
    draining: bool = False


def plan_pool(pool: Pool, state: PoolState, now: float, rules: Rules = Rules()) -> list[Action]:
    """Return the actions for a pool now: at most one for each VM, then those for the pool as a whole.

    A VM for which this process has an operation in progress is left to that operation: its stamp may have been written,
    or cleared, since the inventory was read. While the pool is not verified, an operation that started earlier does not
    delay a claim.
    """
    unknown = unknown_vms(state)
    guarded = is_guarded(unknown, state)
    missing = missing_vms(state, now, rules.grace)
    distrusts = is_distrusted(missing, state)
    decided = {vm.name: next_action(_case(vm, pool, state, now, rules, guarded, distrusts)) for vm in state.vms}
    free = {vm for vm, action in decided.items() if isinstance(action, Reclaim) and not state.verified}
    actions = {vm: action for vm, action in decided.items() if vm in free or vm not in state.busy}
    actions |= trims(pool, state, actions, now, NOT_CONFIGURED if rules.draining else "")
    actions |= {} if rules.draining else due_tasks(state, actions, now)
    actions |= witnesses(state, actions, now)
    known = {vm.name for vm in state.vms}
    new = [Discover(name, is_stamped(state.inventory[name], name, pool.name)) for name in sorted(unknown - known)]
    lost = [Release(name) for name in sorted(state.cloning - known - state.busy - state.inventory.keys())]
    todo: list[Action] = [action for action in actions.values() if action is not None]
    verified = [] if state.verified else [Verify()]
    notes = [*_flags(unknown, guarded, state), *_distrust(missing, distrusts, state, rules), *verified]
    hopeless = _refused(state) if rules.draining else _hopeless(state)
    return [*todo, *lost, *new, *hopeless, *notes, *_filling(pool, state, actions, now)]


def _case(
    vm: Vm, pool: Pool, state: PoolState, now: float, rules: Rules, guarded: bool = False, distrusts: bool = False
) -> Case:
    guest = state.inventory.get(vm.name)
    stamped = is_stamped(guest, vm.name, pool.name)
    ours = stamped or rules.destroy_foreign
    return Case(
        vm=vm,
        guest=guest,
        pool=pool,
        now=now,
        cloning=vm.name in state.cloning,
        grace=rules.grace,
        check_every=rules.check_every,
        may_complete_unknown=ours and (not guarded or vm.name in state.confirmed),
        ours=stamped,
        verified=state.verified,
        distrusts=distrusts,
    )


def is_stamped(guest: Guest | None, name: str, pool: str, shared: bool = False) -> bool:
    """Return whether this service made the VM for this pool, or Ruby vmpooler made it.

    A stamp of Ruby vmpooler does not name the pool. It is not enough if pools have a ``shared`` folder.
    """
    stamp = guest.stamp if guest else None
    return stamp is not None and stamp.name == name and stamp.pool in ((pool,) if shared else ("", pool))


def stamped_for_others(inventory: Mapping[str, Guest], names: Collection[str], pool: str) -> dict[str, str]:
    """Return which of the VMs ``names`` this service made for another pool, and for which one.

    Another pool may share the folder.
    """
    stamps = {name: inventory[name].stamp for name in names}
    made = {name: stamp.pool for name, stamp in stamps.items() if stamp is not None and stamp.name == name}
    return {name: owner for name, owner in made.items() if owner not in ("", pool)}


def unknown_vms(state: PoolState) -> frozenset[str]:
    """Return the unknown VMs of the inventory.

    They are in no queue but ``discovered``, and have no operation in progress.
    """
    explained = {vm.name for vm in state.vms if vm.queue is not Queue.DISCOVERED}
    return frozenset(state.inventory.keys() - explained - state.busy)


def is_guarded(unknown: frozenset[str], state: PoolState) -> bool:
    """Return whether the mass guard holds: so much is unknown at once that the store, not the VMs, must be at fault.

    A flagged pool stays guarded until each of its unknown VMs is confirmed or explained: otherwise the clones that fill
    it again would soon make the unknown VMs a small part. A VM that is in no queue and has an operation in progress is
    no sign of health.
    """
    strange = len(unknown - state.confirmed)
    total = len(unknown) + sum(vm.queue is not Queue.DISCOVERED and vm.name in state.inventory for vm in state.vms)
    return strange > 0 and (state.flagged or strange == total or strange > max(5, total / 5))


def missing_vms(state: PoolState, now: float, grace: float) -> frozenset[str]:
    """Return the VMs that should be in the inventory and are not.

    VMs with an operation in progress and VMs that were ordered a moment ago do not count. Neither do VMs that have been
    missing for longer than the grace: these are known already.
    """
    made = {vm.name for vm in state.vms if vm.queue in ALIVE and _is_expected(vm, now, grace)}
    return frozenset(made - state.inventory.keys() - state.busy - state.cloning)


def _is_expected(vm: Vm, now: float, grace: float) -> bool:
    if vm.queue is Queue.PENDING:
        return vm.ordered is not None and CLONE_SETTLES <= now - vm.ordered < CLONE_SETTLES + grace
    return vm.since is None or now - vm.since < grace


def is_distrusted(missing: frozenset[str], state: PoolState) -> bool:
    """Return whether so many VMs are missing at once that the inventory, not the VMs, must be at fault.

    This is the mass guard for missing VMs. Two or more missing VMs are too many if they are all VMs of the pool.
    """
    total = len(missing) + sum(vm.queue in ALIVE and vm.name in state.inventory for vm in state.vms)
    return len(missing) > max(5, total / 5) or 1 < len(missing) == total


def _distrust(missing: frozenset[str], distrusts: bool, state: PoolState, rules: Rules) -> list[Action]:
    """Record once that the missing VMs are kept, and once that this has ended."""
    if distrusts == state.distrusts:
        return []
    if not distrusts:
        return [NoteMissing("")]
    until = f"none is given up before {rules.grace / 60:g} minutes"
    return [NoteMissing(f"{len(missing)} VMs are missing from the inventory at once; {until}")]


def is_withheld(vm: Vm, action: VmAction | None, now: float) -> bool:
    """Return whether a ready VM is missing, and not only for a moment.

    Such a VM is not handed out, so the pool is filled up without counting it.
    """
    if vm.queue is not Queue.READY or vm.since is None or isinstance(action, Welcome | Complete | Reclaim):
        return False
    return not waits(vm.since + SECOND_CHECK_DELAY, now, SECOND_CHECK_DELAY)


def counts(vm: Vm, action: VmAction | None, now: float) -> bool:
    """Return whether a VM counts towards the pool's size."""
    return not isinstance(action, Complete | StaysOff | Reclaim) and not is_withheld(vm, action, now)


def trims(
    pool: Pool, state: PoolState, actions: dict[str, VmAction | None], now: float, why: str = ""
) -> dict[str, VmAction | None]:
    """Return actions that complete the VMs beyond the pool's size.

    Pending VMs are completed first, the youngest first; then ready VMs, those that became ready first.
    """
    staying = [vm for vm in state.vms if counts(vm, actions.get(vm.name), now)]
    pending = [vm for vm in staying if vm.queue is Queue.PENDING]
    ready = [vm for vm in staying if vm.queue is Queue.READY]
    surplus = len(pending) + len(ready) - pool.size
    if surplus <= 0:
        return {}
    kept = state.busy | state.cloning | {vm.name for vm in staying if vm.also}
    idle = [vm for vm in pending if vm.name not in kept]
    young = sorted(idle, key=lambda vm: vm.ordered or 0, reverse=True)[:surplus]
    idle = [vm for vm in ready if vm.name not in kept]
    beyond = max(0, min(surplus - len(young), len(ready) - pool.size))
    stale = sorted(idle, key=lambda vm: vm.ready or 0)[:beyond]
    why = why or f"is more than the pool's size of {pool.size}"
    return {vm.name: Complete(vm.name, vm.queue, why) for vm in (*young, *stale)}


def witnesses(state: PoolState, actions: Mapping[str, VmAction | None], now: float) -> dict[str, VmAction | None]:
    """Return the checks of ready VMs that are made early, the VM that was checked longest ago first.

    Their answers show whether the network is at fault for the VMs that do not answer. See Note [When a failed check is
    believed].
    """
    idle = {vm for vm, action in actions.items() if action is None} & state.inventory.keys()
    ready = [vm for vm in state.vms if vm.queue is Queue.READY and vm.name in idle]
    ready = [vm for vm in ready if not backs_off(vm.retry_at, vm.failures, now)]
    since = math.floor(state.witnesses_since)  # records have whole seconds
    stale = [vm for vm in ready if _checked_at(vm) < since]
    return {vm.name: Check(vm.name) for vm in sorted(stale, key=_checked_at)[: state.witnesses]}


def _checked_at(vm: Vm) -> float:
    return vm.checked or vm.ready or vm.ordered or 0.0


def due_tasks(state: PoolState, actions: Mapping[str, VmAction | None], now: float) -> dict[str, VmAction | None]:
    """Return the tasks of clients that can run now: in order for each VM, and after more urgent actions for it."""
    idle = {vm for vm, action in actions.items() if action is None or isinstance(action, Check | WriteStamp)}
    can = {vm.name for vm in state.vms if vm.queue in ALIVE and _is_made(state, vm.name)}
    first = _first_of_each(state.tasks)
    due = {vm: task for vm, task in first.items() if not backs_off(task.retry_at, task.tries, now)}
    return {vm: RunTask(vm, task) for vm, task in due.items() if vm in idle & can}


def _first_of_each(tasks: Iterable[Task]) -> dict[str, Task]:
    """Return for each VM the task that runs before its others."""
    first: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.id):
        first.setdefault(task.vm, task)
    return first


def _is_made(state: PoolState, vm: str) -> bool:
    return vm in state.inventory and not state.inventory[vm].cloning and vm not in state.cloning


def _is_off(vm: Vm, state: PoolState) -> bool:
    return vm.name not in state.inventory or not state.inventory[vm.name].powered_on


def _hopeless(state: PoolState) -> list[Action]:
    """Return actions that drop the tasks for VMs that are completed."""
    alive = {vm.name for vm in state.vms if vm.queue in ALIVE}
    gone = [task for task in state.tasks if task.vm not in alive and task.vm not in state.busy]
    return [DropTask(task, "the VM is finished with") for task in gone]


def _refused(state: PoolState) -> list[Action]:
    """Return actions that refuse the tasks for VMs of a drained pool."""
    return [DropTask(task, REFUSED) for task in state.tasks if task.vm not in state.busy]


def _flags(unknown: frozenset[str], guarded: bool, state: PoolState) -> list[Action]:
    if guarded and not state.flagged:
        share = f"{len(unknown - state.confirmed)} of {len(state.inventory)}"
        return [Flag(f"{share} VMs are unknown; none is destroyed until this is confirmed")]
    return [Unflag()] if state.flagged and not guarded else []


def _filling(pool: Pool, state: PoolState, actions: dict[str, VmAction | None], now: float) -> list[Action]:
    counted = [vm for vm in state.vms if counts(vm, actions.get(vm.name), now)]
    withheld = sum(is_withheld(vm, actions.get(vm.name), now) for vm in state.vms)
    ready = [vm for vm in counted if vm.queue is Queue.READY]
    pending = [vm for vm in counted if vm.queue is Queue.PENDING]
    empty = not ready and (pool.size > 0 or state.empty)
    notes: list[Action] = [NoteEmpty(empty)] if empty != state.empty else []
    wanted = pool.size - len(ready) - len(pending)
    if state.clone_failures:
        tried = any(vm.name in state.cloning or (state.power_fails and _is_off(vm, state)) for vm in pending)
        wanted = min(wanted, 0 if tried else 1)
    if wanted > 0 and not backs_off(state.clones_after, state.clone_failures, now):
        return [*notes, Clone(wanted, withheld)]
    return [*notes, Withdraw()] if state.waiting else notes
