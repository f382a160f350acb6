"""How long to wait: between rounds, and before what failed is tried again. All in seconds."""

from vmpooler.domain.model import PoolState, Queue

ROUND = 30.0
"""Between the rounds of a pool in which nothing is awaited: events wake it earlier."""

EAGER = 5.0
"""Between the rounds of a pool that awaits something: pending VMs, a turn to clone, a destruction."""

SOONEST = 0.05
"""Between two rounds at the least, unless an event wakes the pool."""

UNANSWERED = 1.0
"""After a guest that has booted did not answer a probe."""

SECOND_LOOK = 8.0
"""After a look at a VM that failed, before the next from which something may be concluded: longer than a network takes
to come back from a moment's absence, shorter than anybody would keep a dead VM."""

LATER_LOOKS = 30.0
"""Between two looks at the most while nothing may be concluded from those that fail."""

BACKOFF_FIRST = 1.0
BACKOFF_MOST = 300.0

AGREE = 5.0
"""By which the moments that several processes write may differ. What lies further ahead was written before a clock was
set back. store/lua/_ahead.lua has the same."""


def waits(until: float, now: float, longest: float = BACKOFF_MOST) -> bool:
    """Whether a stored moment lies ahead. One that is further off than its longest wait counts as none: else a clock
    that was an hour ahead for a moment would stop for an hour what waits."""
    return now < until <= now + longest + AGREE


def longest_pause(number: int, pools: int) -> float:
    """Between the rounds of the pool of that number, of so many, in which nothing is awaited.

    Each has another, from ROUND down to three quarters of it: pools that begin together would keep step for ever, and
    all have their rounds in the same moment.
    """
    return ROUND * (1 - number / pools / 4)


def pause(state: PoolState, now: float, *, longest: float = ROUND) -> float:
    """How long after a look the next is due when no event comes before."""
    awaited = state.waiting or any(vm.queue in (Queue.PENDING, Queue.COMPLETED) for vm in state.vms)
    retries = [vm.retry_at for vm in state.vms if waits(vm.retry_at, now)]
    retries += [task.retry_at for task in state.tasks if waits(task.retry_at, now)]
    away = [vm.since + SECOND_LOOK for vm in state.vms if vm.queue is Queue.READY and vm.since is not None]
    retries += [until for until in away if waits(until, now, SECOND_LOOK)]
    if waits(state.clones_after, now):
        retries.append(state.clones_after)
    until_retry = min(retries, default=now + longest) - now
    return max(SOONEST, min(EAGER if awaited else longest, longest, until_retry))
