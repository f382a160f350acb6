"""How many clones a provider bears at once: found out by ordering more, and fewer, and looking how fast they come."""

# Note [What is borne]
# The best number of clones at once is the one at which most VMs come in a minute, and no more wait than that takes. By
# Little's law VMs come at the rate of the clones under way divided by the time that one takes. So a limit on trial is
# compared with the one that is held by the times of the clones alone: the gain is how many more were under way, divided
# by how much longer each took. Where more are borne, times hold and all of what was added is gained; where they are
# not, times grow and little is.
#
# At first the limit doubles until that does not pay. Then it is held, and now and then one a quarter larger is tried,
# or one smaller by a fifth, which is kept where hardly anything is lost by it. After a trial that failed the next waits
# twice as long. Whatever is tried is judged by the clones that begin first under it, when the last of them has ended:
# to take those that end first would be to choose the short ones. Times are compared with the usual one of the same
# pool, for templates differ. Where clones take half as long again at the limit that is held, or fail, it falls at once.

import math
from collections.abc import Mapping

import attrs

FIRST = 4
"""How many are under way at once before anything is known."""

PAYS = 0.3
"""The share of what is added that must come as a gain; less is not worth the longer clones."""

UP, DOWN = 1.25, 0.8
"""From the limit that is held to the ones that are tried."""

FULL = 0.85
"""The share of the limit that must have been under way: otherwise there was too little to do to judge it."""

SLOWER = 1.5
"""How many times as long as usual clones take where the provider bears less than it did."""

PATIENCE = 8
"""How many samples are taken between two trials at the most."""

ENOUGH = 12
"""How many clones make a sample at the least, once the limit does not double any more."""

RECENT = 0.3
"""How much the last sample counts in what is usual."""


@attrs.define(eq=False)
class Sample:
    """The first clones, ``wanted`` of them, that begin under a limit. ``load``: those that were under way meanwhile,
    added up over the seconds of each; ``times`` (seconds) are of those that were done, by pool."""

    wanted: int
    begun: int = 0
    ended: int = 0
    load: float = 0.0
    times: dict[str, list[float]] = attrs.field(factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all have ended."""
        return self.ended >= self.wanted

    @property
    def under_way(self) -> float:
        """How many clones were under way, on average."""
        seconds = sum(sum(times) for times in self.times.values())
        return self.load / seconds if seconds else 0.0

    def stretch(self, usual: Mapping[str, float]) -> float:
        """How many times as long as usual they took; 1 where nothing is known."""
        known = {pool: times for pool, times in self.times.items() if pool in usual}
        expected = sum(usual[pool] * len(times) for pool, times in known.items())
        return sum(sum(times) for times in known.values()) / expected if expected else 1.0


@attrs.frozen(eq=False)
class Clone:
    """A clone under way. ``load``: the clones under way, added up over all seconds until it began."""

    pool: str
    began: float
    load: float
    sample: Sample | None


class Bearing:
    """The limit of clones at once, between ``least`` and ``most``: the same where these are. Moments are in seconds."""

    def __init__(self, most: int, least: int = 1) -> None:
        self._most, self._least = most, least
        self.held = self._within(FIRST)
        self.limit = self.held
        self._doubling, self._upward = True, True
        self._patience, self._rest = 1, 1
        self._usual: dict[str, float] = {}
        self._usual_load = 0.0
        self._failing: set[str] = set()
        self._fell = -math.inf
        self._under_way, self._load, self._until = 0, 0.0, 0.0
        self._sample = self._new_sample()

    def begin(self, pool: str, now: float) -> Clone:
        """A clone begins."""
        self._pass(now)
        self._under_way += 1
        sample = self._sample if self._sample.begun < self._sample.wanted else None
        if sample:
            sample.begun += 1
        return Clone(pool, now, self._load, sample)

    def end(self, clone: Clone, now: float, *, done: bool | None) -> None:
        """It is done, or has failed; None: nobody knows how it ends."""
        self._pass(now)
        self._under_way -= 1
        sample = clone.sample
        if sample:
            sample.ended += 1
        if done:
            self._failing.discard(clone.pool)
            if sample:
                sample.times.setdefault(clone.pool, []).append(now - clone.began)
                sample.load += self._load - clone.load
        elif done is False and clone.pool not in self._failing:
            self._failing.add(clone.pool)  # what goes on failing is the pool's own trouble, and waits by itself
            if clone.began > self._fell:
                self._fall(2)
        if self._sample.is_whole:
            self._judge(self._sample)

    def _pass(self, now: float) -> None:
        self._load += self._under_way * max(0.0, now - self._until)
        self._until = now

    def _within(self, limit: float) -> int:
        return max(self._least, min(self._most, round(limit)))

    def _new_sample(self) -> Sample:
        return Sample(self.limit if self._doubling else max(self.limit, ENOUGH))

    def _try(self, limit: int) -> None:
        self.limit = limit
        self._sample = self._new_sample()

    def _hold(self, limit: float) -> None:
        self.held = self._within(limit)
        self._try(self.held)

    def _fall(self, times: float) -> None:
        """The provider does not bear what it did. What was ordered before is not held against it again."""
        self._fell = self._until
        self._doubling, self._upward, self._patience, self._rest = False, True, 1, 1
        self._usual_load = 0.0
        self._hold(int(self.held / min(times, 2)))

    def _judge(self, sample: Sample) -> None:
        if sample.under_way < FULL * self.limit:
            self._try(self.limit)
        elif self.limit != self.held:
            self._judge_trial(sample)
        else:
            self._judge_held(sample)

    def _judge_held(self, sample: Sample) -> None:
        stretch = sample.stretch(self._usual)
        self._learn(sample)
        self._rest -= 1
        if stretch > SLOWER:
            self._fall(stretch)
        else:
            self._try(self._next_trial() if self._rest <= 0 else self.held)

    def _next_trial(self) -> int:
        up = self._within(max(self.held + 1, self.held * (2 if self._doubling else UP)))
        down = self._within(min(self.held - 1, self.held * DOWN))
        if self._upward:
            return up if up != self.held else down
        return down if down != self.held else up

    def _judge_trial(self, sample: Sample) -> None:
        stretch = sample.stretch(self._usual)
        more = sample.under_way / self._usual_load
        gain = more / stretch
        if gain - 1 < PAYS * (more - 1):
            self._give_up_trial(gain)
        else:
            self._upward, self._patience = self.limit > self.held, 1
            self._usual = {pool: seconds * stretch for pool, seconds in self._usual.items()}
            self._learn(sample)
            self.held = self.limit
            self._try(self._next_trial())

    def _give_up_trial(self, gain: float) -> None:
        self._upward = self.limit < self.held
        self._rest, self._patience = self._patience, min(PATIENCE, 2 * self._patience)
        between = max(1.0, gain) if self._doubling else 1.0
        self._doubling = False
        self._hold(self.held * between)

    def _learn(self, sample: Sample) -> None:
        self._usual_load = sample.under_way
        for pool, times in sample.times.items():
            mean = sum(times) / len(times)
            self._usual[pool] = mean + (1 - RECENT) * (self._usual.get(pool, mean) - mean)
