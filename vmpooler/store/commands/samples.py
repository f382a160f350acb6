"""Samples of the pools, for charts.

Note [How samples are kept]

Each pool has one string for each day (one sample per minute) and one for each thirty days (one sample per quarter of an
hour). The time of a sample determines its position in the string. So the size is bounded: 12 and 23 kilobytes per
string. To write a sample again changes nothing. A sample that was never written reads as zeros. A string expires one
day or thirty days, respectively, and one spare hour after its last sample.
"""

from collections.abc import Mapping, Sequence

import attrs

from vmpooler.domain.history import MINUTES, SAMPLE, Grain
from vmpooler.store import keys
from vmpooler.store.redis.scripts import RedisCommands, load
from vmpooler.store.stored import number

EXTRA_SECONDS = 3600
"""Seconds for which samples are kept beyond the period that is read."""


@attrs.frozen
class SamplesTaken:
    """The time (epoch) of a sample, and the id of the last event that it counted."""

    when: float
    event: str


class Samples:
    """Writes and reads samples. A sample's number is its time (epoch) divided by the seconds of its grain."""

    def __init__(self, connection: RedisCommands) -> None:
        self._connection = connection

    async def taken(self) -> SamplesTaken | None:
        """Return when the last sample was taken; None for never."""
        text: str | None = await self._connection.call("GET", keys.SAMPLED)
        when, _, event = (text or "").partition(" ")
        moment = number(when)
        return None if moment is None else SamplesTaken(moment, event)

    async def write(
        self, grain: Grain, number: int, samples: Mapping[str, bytes], taken: SamplesTaken | None = None
    ) -> None:
        """Write one sample of each pool; with ``taken``, record that too."""
        chunk, place = divmod(number, grain.chunk)
        note = f"{taken.when:.3f} {taken.event}" if taken else ""
        keep = grain.chunk * grain.seconds + EXTRA_SECONDS
        await self._connection.run(
            load("sample"),
            sampled=keys.SAMPLED,
            strings=[_key(grain, chunk, pool) for pool in samples],
            taken=note,
            place=place * SAMPLE.size,
            keep=keep,
            samples=list(samples.values()),
        )

    async def read(self, grain: Grain, first: int, count: int, pools: Sequence[str]) -> dict[str, bytes]:
        """Return ``count`` samples of each pool, from number ``first`` on."""
        found = dict.fromkeys(pools, b"")
        while count > 0:
            chunk, place = divmod(first, grain.chunk)
            some = min(count, grain.chunk - place)
            for pool, kept in zip(pools, await self._part(grain, chunk, place, some, pools), strict=True):
                found[pool] += kept.ljust(some * SAMPLE.size, b"\0")
            first, count = first + some, count - some
        return found

    async def _part(self, grain: Grain, chunk: int, place: int, count: int, pools: Sequence[str]) -> list[bytes]:
        strings = [_key(grain, chunk, pool) for pool in pools]
        first, last = place * SAMPLE.size, (place + count) * SAMPLE.size - 1
        found = await self._connection.run(load("samples"), strings=strings, first=first, last=last)
        return [text.encode("utf-8", "surrogateescape") for text in found]


def _key(grain: Grain, chunk: int, pool: str) -> str:
    return keys.minutes(chunk, pool) if grain is MINUTES else keys.quarters(chunk, pool)
