"""The adaptive limit of clones in flight, with providers that slow down in different ways."""

from random import Random

import attrs
import pytest

from vmpooler.domain.adaptive_limit import INITIAL_LIMIT, AdaptiveLimit, CloneInFlight

POOLS = {"small": 3.0, "large": 9.0}
"""Seconds that a clone of each pool takes if no other clone runs."""

WORK = sum(POOLS.values()) / len(POOLS)


@attrs.define
class Provider:
    """A simulated provider. Up to ``bears`` concurrent clones each take as long as one clone alone.

    With more clones, the total throughput stays constant (``crush`` 1), or drops as their number grows (``crush`` 2).
    ``noise`` is the fraction by which a clone may take longer or shorter.
    """

    bears: int
    crush: float
    noise: float
    chance: Random
    now: float = 0.0
    work: float = 0.0
    left: dict[CloneInFlight, float] = attrs.field(factory=dict)

    def pace(self, limit: AdaptiveLimit, seconds: float) -> float:
        """Run with unlimited demand; return the throughput as a fraction of the throughput at the best fixed limit."""
        begin, before = self.now, self.work
        while self.now < begin + seconds:
            self.step(limit)
        return (self.work - before) / (self.now - begin) / self.bears

    def step(self, limit: AdaptiveLimit, most: int = 1000) -> None:
        """Start clones up to the limit, then advance the time until a clone ends."""
        while len(self.left) < min(limit.limit, most):
            pool = self.chance.choice(sorted(POOLS))
            takes = POOLS[pool] * self.chance.uniform(1 - self.noise, 1 + self.noise)
            self.left[limit.begin(pool, self.now)] = takes
        speed = min(1.0, (self.bears / len(self.left)) ** self.crush)
        next_end = min(self.left.values())
        self.now += next_end / speed
        self.left = {clone: takes - next_end for clone, takes in self.left.items()}
        for clone in [clone for clone, takes in self.left.items() if takes <= 0]:
            del self.left[clone]
            self.work += POOLS[clone.pool]
            limit.end(clone, self.now, done=True)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("crush", [1, 2])
@pytest.mark.parametrize("bears", [2, 5, 8, 20, 40])
def test_it_is_within_15_percent_of_the_best_fixed_limit(bears: int, crush: float, noise: float) -> None:
    provider, limit = Provider(bears, crush, noise, Random(bears)), AdaptiveLimit(100)
    provider.pace(limit, 100 * WORK)
    assert provider.pace(limit, 300 * WORK) > 0.85


@pytest.mark.parametrize(("before", "after"), [(8, 24), (24, 8)])
def test_it_follows_a_provider_that_comes_to_bear_more_or_less(before: int, after: int) -> None:
    provider, limit = Provider(before, 2, 0.2, Random(1)), AdaptiveLimit(100)
    provider.pace(limit, 200 * WORK)
    provider.bears = after
    provider.pace(limit, 200 * WORK)
    assert provider.pace(limit, 300 * WORK) > 0.85


def test_it_is_never_more_than_configured_nor_less_than_one() -> None:
    provider, limit, seen = Provider(50, 1, 0.3, Random(2)), AdaptiveLimit(10), set()
    for turn in range(2000):
        provider.bears = 50 if turn < 1000 else 1
        provider.step(limit)
        seen.add(limit.limit)
    assert (min(seen), max(seen)) == (1, 10)


def test_a_fixed_limit_stays_whatever_happens() -> None:
    provider, limit = Provider(2, 2, 0.3, Random(3)), AdaptiveLimit(7, least=7)
    for _ in range(300):
        provider.step(limit)
        assert limit.limit == 7
    for pool in "abcdefg":
        limit.end(limit.begin(pool, provider.now), provider.now, done=False)
    assert limit.limit == 7


def test_little_work_teaches_nothing() -> None:
    provider, limit = Provider(20, 1, 0.3, Random(4)), AdaptiveLimit(100)
    for _ in range(300):
        provider.step(limit, most=2)
    assert limit.limit == INITIAL_LIMIT


def test_it_falls_by_half_when_clones_fail_and_rises_again() -> None:
    provider, limit = Provider(20, 1, 0.1, Random(5)), AdaptiveLimit(100)
    provider.pace(limit, 100 * WORK)
    before = limit.held
    clone, _ = provider.left.popitem()
    limit.end(clone, provider.now, done=False)
    assert limit.limit == before // 2
    provider.pace(limit, 100 * WORK)
    assert 0.75 * before < limit.held < 1.25 * before


def test_a_pool_that_goes_on_failing_does_not_keep_others_down() -> None:
    provider, limit = Provider(20, 1, 0.1, Random(6)), AdaptiveLimit(100)
    for _ in range(1000):
        limit.end(limit.begin("broken", provider.now), provider.now, done=False)
        provider.step(limit)
    assert 0.75 * provider.bears < limit.held < 1.25 * provider.bears


def test_a_clone_of_which_nobody_knows_how_it_ended_holds_up_nothing() -> None:
    provider, limit = Provider(8, 1, 0.1, Random(7)), AdaptiveLimit(100)
    for _ in range(300):
        limit.end(limit.begin("small", provider.now), provider.now, done=None)
        provider.step(limit)
    assert INITIAL_LIMIT < limit.held < 1.25 * provider.bears
