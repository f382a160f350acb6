"""How long a pool waits between two rounds."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpooler.domain.backoff import (
    BACKOFF_MOST,
    BUSY_INTERVAL,
    CLOCK_TOLERANCE,
    IDLE_INTERVAL,
    MIN_INTERVAL,
    backs_off,
    longest_pause,
    pause,
    waits,
)
from vmpooler.domain.model import PoolState, Queue, Vm

NOW = 1_700_000_000.0


def test_a_pool_that_awaits_nothing_rests_for_long() -> None:
    assert pause(PoolState(vms=(Vm("a", Queue.READY), Vm("b", Queue.RUNNING))), NOW) == IDLE_INTERVAL


@pytest.mark.parametrize(
    "state",
    [
        PoolState(vms=(Vm("a", Queue.PENDING),)),
        PoolState(vms=(Vm("a", Queue.COMPLETED),)),
        PoolState(waiting=True),
    ],
    ids=["a VM that boots", "a destruction", "a turn to clone"],
)
def test_a_pool_that_awaits_something_has_frequent_rounds(state: PoolState) -> None:
    assert pause(state, NOW) == BUSY_INTERVAL


def test_a_retry_is_not_missed() -> None:
    assert pause(PoolState(clones_after=NOW + 2), NOW) == pytest.approx(2)
    assert pause(PoolState(vms=(Vm("a", Queue.COMPLETED, retry_at=NOW + 1),)), NOW) == pytest.approx(1)
    assert pause(PoolState(clones_after=NOW + 1e-6), NOW) == MIN_INTERVAL


def test_the_first_of_several_retries_counts() -> None:
    stuck = tuple(Vm(name, Queue.COMPLETED, retry_at=NOW + wait) for name, wait in (("a", 3), ("b", 2), ("c", 4)))
    assert pause(PoolState(vms=stuck, clones_after=NOW + 2.5), NOW) == pytest.approx(2)


def test_a_retry_in_the_past_or_far_away_changes_nothing() -> None:
    assert pause(PoolState(clones_after=NOW - 5), NOW) == IDLE_INTERVAL
    assert pause(PoolState(clones_after=NOW + 300), NOW) == IDLE_INTERVAL


def test_pools_that_begin_together_do_not_keep_step() -> None:
    pauses = [longest_pause(number, 1000) for number in range(1000)]
    assert (pauses[0], min(pauses) > IDLE_INTERVAL / 2) == (IDLE_INTERVAL, True)
    minute = range(600, 660)
    rounds = Counter(int(pause * at) for pause in pauses for at in range(700 // 20) if int(pause * at) in minute)
    assert max(rounds[second] for second in minute) < 3 * rounds.total() / len(minute)


@given(st.floats(-1e9, 1e9), st.floats(1, 1e6))
def test_nothing_waits_longer_than_its_longest_wait(ahead: float, longest: float) -> None:
    assert waits(NOW + ahead, NOW, longest) == (
        NOW + ahead - NOW > 0 and NOW + ahead <= NOW + longest + CLOCK_TOLERANCE
    )


def test_a_retry_further_off_than_any_wait_is_none() -> None:
    assert pause(PoolState(clones_after=NOW + 3600, clone_failures=20), NOW, longest=10_000) == 10_000
    assert pause(PoolState(clones_after=NOW + BACKOFF_MOST, clone_failures=20), NOW, longest=10_000) == BACKOFF_MOST


@pytest.mark.parametrize(("tries", "longest"), [(0, 8), (1, 8), (2, 16), (5, 128), (6, 256), (7, 300), (1000, 300)])
def test_a_retry_further_off_than_so_many_failures_explain_is_none(tries: int, longest: float) -> None:
    assert backs_off(NOW + longest, tries, NOW)
    assert not backs_off(NOW + longest + CLOCK_TOLERANCE + 1, tries, NOW)
