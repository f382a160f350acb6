"""Records the history that the dashboard draws: a sample of every pool each minute and each quarter of an hour."""

from collections.abc import Callable, Mapping, Sequence

from vmpooler.domain import history
from vmpooler.domain.backoff import CLOCK_TOLERANCE
from vmpooler.domain.events import What
from vmpooler.domain.history import GROUP, MINUTES, QUARTERS
from vmpooler.domain.model import Queue
from vmpooler.store.commands.samples import Samples, SamplesTaken
from vmpooler.store.queries import stats
from vmpooler.store.queries.event_log import EventHistory
from vmpooler.store.redis.scripts import RedisCommands

MINUTE = MINUTES.seconds

SAMPLE_DELAY = 0.05
"""Seconds between the end of a minute and the sample of that minute."""

COUNTED = (Queue.READY, Queue.RUNNING, Queue.PENDING)

OnSample = Callable[[Mapping[str, Sequence[int]], float], None]
"""Callback that receives a sample and the time (epoch) at which it was taken. The sample maps each pool to the numbers
of its ready, running and pending VMs, and of its checkouts in the last minute."""


class Sampler:
    """Takes samples of pools; the list of pools may change between two samples.

    ``run`` is the round of a loop and may be called at any time: it takes the sample that is due, and takes it only
    once.
    """

    def __init__(
        self,
        pools: Sequence[str],
        connection: RedisCommands,
        past: EventHistory,
        wall: Callable[[], float],
        on_sample: OnSample,
    ) -> None:
        self._pools = pools
        self._connection = connection
        self._samples = Samples(connection)
        self._past = past
        self._wall = wall
        self._on_sample = on_sample

    async def run(self) -> float:
        """Take the sample of the last full minute if it is missing; return the seconds until the next is due."""
        now = self._wall()
        minute = int(now // MINUTE) - 1
        taken = await self._samples.taken()
        # A sample from the future was taken before a clock was set back. It must not stop sampling until that time.
        if taken is None or not (minute + 1) * MINUTE <= taken.when <= now + CLOCK_TOLERANCE:
            await self._take(minute, taken, now)
            if (minute + 1) % GROUP == 0:
                await self._sum_up(minute // GROUP)
        return (minute + 2) * MINUTE + SAMPLE_DELAY - self._wall()

    async def _take(self, minute: int, taken: SamplesTaken | None, now: float) -> None:
        checkouts, event = await self._checkouts(minute, taken)
        pools = tuple(self._pools)
        columns = [await stats.sizes(self._connection, queue, pools) for queue in COUNTED]
        rows = {pool: [*counts, checkouts.get(pool, 0)] for pool, *counts in zip(pools, *columns, strict=True)}
        samples = {pool: history.packed(row) for pool, row in rows.items()}
        await self._samples.write(MINUTES, minute, samples, SamplesTaken(now, event))
        self._on_sample(rows, now)

    async def _checkouts(self, minute: int, taken: SamplesTaken | None) -> tuple[Mapping[str, int], str]:
        """Return the checkouts by pool since the last sample, and the id of the last event that was read.

        Checkouts before this minute are not counted.
        """
        last = taken.event if taken else await self._past.newest()
        found: list[str] = []
        while events := await self._past.after(last):
            recent = [event for event in events if event.when >= minute * MINUTE]
            found += [event.pool for event in recent if event.what is What.CHECKOUT]
            last = events[-1].id
        return history.checkouts(found), last

    async def _sum_up(self, quarter: int) -> None:
        """Write the sample that summarizes the minutes of a quarter of an hour."""
        minutes = await self._samples.read(MINUTES, quarter * GROUP, GROUP, tuple(self._pools))
        await self._samples.write(QUARTERS, quarter, {pool: history.joined(kept) for pool, kept in minutes.items()})
