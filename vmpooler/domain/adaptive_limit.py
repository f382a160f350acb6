"""Finds how many clones a provider can run at once: tries more and fewer, and measures how long they take."""

# Note [How the limit adapts]
# The best number of concurrent clones is the smallest one that makes the most VMs in a minute. By Little's law, VMs are
# made at the rate of the clones in progress divided by the time that one clone takes. So a trial limit is compared with
# the held limit by the clone times alone: the gain is how many times more clones were in progress, divided by how many
# times longer each took. If the provider can run more clones, times stay the same and the whole increase is gained. If
# it cannot, times grow and the gain is small.
#
# At first the limit doubles until that does not pay any more. Then it is held. Now and then a limit one quarter larger
# is tried, or one a fifth smaller, which is kept if almost nothing is lost. After a failed trial the wait before the
# next trial doubles. A trial is judged by the clones that start first under it, once the last of them has ended: to
# take the clones that end first would select the short ones. Times are compared with the usual time of the same pool,
# because templates differ. If clones at the held limit take 1.5 times as long as usual, or fail, the limit drops at
# once.

import math
from collections.abc import Mapping

import attrs

INITIAL_LIMIT = 4
"""Number of concurrent clones before anything is known."""

PAYS = 0.3
"""Minimum gain, as a share of the added clones. A smaller gain does not justify the longer clones."""

UP, DOWN = 1.25, 0.8
"""Factors from the held limit to the trial limits."""

FULL = 0.85
"""Minimum share of the limit that must have been in progress. With fewer clones the limit cannot be judged."""

SLOWER = 1.5
"""Factor on the usual clone time from which the provider counts as slower than before."""

MAX_SAMPLES_BETWEEN_TRIALS = 8
"""Maximum number of samples between two trials."""

ENOUGH = 12
"""Minimum number of clones in a sample, once the limit does not double any more."""

LAST_SAMPLE_WEIGHT = 0.3
"""Weight of the last sample in the usual clone times."""


@attrs.define(eq=False)
class Sample:
    """The first ``wanted`` clones that start under a limit.

    ``load``: the number of clones in progress, summed over the seconds of each finished clone. ``times`` has the
    seconds that each successful clone took, by pool.
    """

    wanted: int
    started: int = 0
    ended: int = 0
    load: float = 0.0
    times: dict[str, list[float]] = attrs.field(factory=dict)

    @property
    def is_whole(self) -> bool:
        """Whether all clones of the sample have ended."""
        return self.ended >= self.wanted

    @property
    def in_flight(self) -> float:
        """The average number of clones in progress."""
        seconds = sum(sum(times) for times in self.times.values())
        return self.load / seconds if seconds else 0.0

    def stretch(self, usual: Mapping[str, float]) -> float:
        """Return how many times longer than usual the clones took; 1 if no usual time is known."""
        known = {pool: times for pool, times in self.times.items() if pool in usual}
        expected = sum(usual[pool] * len(times) for pool, times in known.items())
        return sum(sum(times) for times in known.values()) / expected if expected else 1.0


@attrs.frozen(eq=False)
class CloneInFlight:
    """A clone in progress. ``load``: the number of clones in progress, summed over all seconds until it started."""

    pool: str
    started: float
    load: float
    sample: Sample | None


class AdaptiveLimit:
    """The limit of concurrent clones, between ``least`` and ``most``; fixed if these are equal.

    Times are in seconds.
    """

    def __init__(self, most: int, least: int = 1) -> None:
        self._most, self._least = most, least
        self.held = self._within(INITIAL_LIMIT)
        self.limit = self.held
        self._doubling, self._upward = True, True
        self._patience, self._rest = 1, 1
        self._usual: dict[str, float] = {}
        self._usual_load = 0.0
        self._failing: set[str] = set()
        self._fell = -math.inf
        self._in_flight, self._load, self._until = 0, 0.0, 0.0
        self._sample = self._new_sample()

    def begin(self, pool: str, now: float) -> CloneInFlight:
        """Record that a clone of a pool starts."""
        self._pass(now)
        self._in_flight += 1
        sample = self._sample if self._sample.started < self._sample.wanted else None
        if sample:
            sample.started += 1
        return CloneInFlight(pool, now, self._load, sample)

    def end(self, clone: CloneInFlight, now: float, *, done: bool | None) -> None:
        """Record that a clone ended: it succeeded, or failed; None if the outcome is unknown."""
        self._pass(now)
        self._in_flight -= 1
        sample = clone.sample
        if sample:
            sample.ended += 1
        if done:
            self._failing.discard(clone.pool)
            if sample:
                sample.times.setdefault(clone.pool, []).append(now - clone.started)
                sample.load += self._load - clone.load
        elif done is False and clone.pool not in self._failing:
            self._failing.add(clone.pool)  # a pool that keeps failing has a fault of its own, and backs off by itself
            if clone.started > self._fell:
                self._fall(2)
        if self._sample.is_whole:
            self._judge(self._sample)

    def _pass(self, now: float) -> None:
        self._load += self._in_flight * max(0.0, now - self._until)
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
        """Lower the limit, because the provider is slower than before.

        Clones that started before do not lower it again.
        """
        self._fell = self._until
        self._doubling, self._upward, self._patience, self._rest = False, True, 1, 1
        self._usual_load = 0.0
        self._hold(int(self.held / min(times, 2)))

    def _judge(self, sample: Sample) -> None:
        if sample.in_flight < FULL * self.limit:
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
        more = sample.in_flight / self._usual_load
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
        self._rest, self._patience = self._patience, min(MAX_SAMPLES_BETWEEN_TRIALS, 2 * self._patience)
        between = max(1.0, gain) if self._doubling else 1.0
        self._doubling = False
        self._hold(self.held * between)

    def _learn(self, sample: Sample) -> None:
        self._usual_load = sample.in_flight
        for pool, times in sample.times.items():
            mean = sum(times) / len(times)
            self._usual[pool] = mean + (1 - LAST_SAMPLE_WEIGHT) * (self._usual.get(pool, mean) - mean)
