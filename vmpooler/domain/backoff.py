"""Intervals between rounds, and before a failed operation is retried. All are in seconds."""

from vmpooler.domain.model import PoolState, Queue

IDLE_INTERVAL = 30.0
"""Between rounds of a pool that waits for nothing. Events start a round earlier."""

BUSY_INTERVAL = 5.0
"""Between rounds of a pool that waits for something: pending VMs, a turn to clone, a destruction."""

MIN_INTERVAL = 0.05
"""Minimum between two rounds, unless an event starts one."""

PROBE_RETRY_DELAY = 1.0
"""Before the next probe of a guest that has booted and did not answer."""

SECOND_CHECK_DELAY = 8.0
"""After a failed check of a VM, before the next check that allows a conclusion.

Longer than a network takes to recover from a short outage, shorter than an operator would keep a dead VM.
"""

MAX_CHECK_DELAY = 30.0
"""Maximum between two checks while failed checks allow no conclusion."""

BACKOFF_FIRST = 1.0
BACKOFF_MOST = 300.0

CLOCK_TOLERANCE = 5.0
"""Maximum difference between the times that several processes write.

A time further ahead was written before a clock was set back. store/lua/_ahead.lua has the same value.
"""


def waits(until: float, now: float, longest: float) -> bool:
    """Return whether a stored time is in the future.

    A time further ahead than its longest wait counts as past: otherwise a clock that was an hour ahead for a moment
    would stop, for an hour, all that waits.
    """
    return now < until <= now + longest + CLOCK_TOLERANCE


def backs_off(until: float, tries: int, now: float) -> bool:
    """Return whether what failed this number of times in a row is not retried yet.

    Waits begin with BACKOFF_FIRST or, for checks, with SECOND_CHECK_DELAY, and double with each failure. A longer one
    counts as past, as in :func:`waits`; store/lua/_trouble.lua has the same rule.
    """
    return waits(until, now, min(BACKOFF_MOST, SECOND_CHECK_DELAY * 2 ** min(max(tries, 1) - 1, 30)))


def longest_pause(number: int, pools: int) -> float:
    """Return the longest pause between rounds of pool ``number`` of ``pools``, while it waits for nothing.

    Each pool has a different pause, from IDLE_INTERVAL down to three quarters of it. Pools that start together would
    otherwise stay in step permanently, and all run their rounds at the same moment.
    """
    return IDLE_INTERVAL * (1 - number / pools / 4)


def pause(state: PoolState, now: float, *, longest: float = IDLE_INTERVAL) -> float:
    """Return the seconds from one read of the state until the next is due, if no event comes before."""
    awaited = state.waiting or any(vm.queue in (Queue.PENDING, Queue.COMPLETED) for vm in state.vms)
    retries = [vm.retry_at for vm in state.vms if backs_off(vm.retry_at, vm.failures, now)]
    retries += [task.retry_at for task in state.tasks if backs_off(task.retry_at, task.tries, now)]
    away = [vm.since + SECOND_CHECK_DELAY for vm in state.vms if vm.queue is Queue.READY and vm.since is not None]
    retries += [until for until in away if waits(until, now, SECOND_CHECK_DELAY)]
    if backs_off(state.clones_after, state.clone_failures, now):
        retries.append(state.clones_after)
    until_retry = min(retries, default=now + longest) - now
    return max(MIN_INTERVAL, min(BUSY_INTERVAL if awaited else longest, longest, until_retry))
