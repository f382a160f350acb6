"""Samples in Redis: stored by their time, bounded, and expired after a while."""

from vmpooler.domain.history import MINUTES, QUARTERS, Grain, packed, series
from vmpooler.store import keys
from vmpooler.store.commands.samples import Samples, SamplesTaken
from vmpooler.store.redis.client import Connection

DAY = MINUTES.chunk


def ready(kept: bytes) -> list[float | None]:
    return series(kept, 1)["ready"]


async def test_samples_are_read_over_the_end_of_a_day(store: Connection) -> None:
    samples = Samples(store)
    for number in (DAY - 2, DAY - 1, DAY, DAY + 2):
        await samples.write(MINUTES, number, {"a": packed([number, 0, 0, 0]), "b": packed([7, 0, 0, 0])})
    found = await samples.read(MINUTES, DAY - 3, 6, ["b", "a", "unknown"])
    assert ready(found["a"]) == [None, DAY - 2, DAY - 1, DAY, None, DAY + 2]
    assert ready(found["b"]) == [None, 7, 7, 7, None, 7]
    assert ready(found["unknown"]) == [None] * 6


async def test_every_number_comes_back_as_it_was(store: Connection) -> None:
    """Samples are bytes of any value, on a connection that otherwise carries text."""
    rows = [[number * 257 % 65_000, number, 255, 128] for number in range(600)]
    for number, row in enumerate(rows):
        await Samples(store).write(QUARTERS, number, {"a": packed(row)})
    found = series((await Samples(store).read(QUARTERS, 0, len(rows), ["a"]))["a"], 1)
    assert list(zip(*found.values(), strict=True)) == [tuple(row) for row in rows]


async def test_what_is_kept_of_a_pool_is_bounded_and_expires(store: Connection) -> None:
    samples = Samples(store)
    bounds: list[tuple[Grain, str, int]] = [
        (MINUTES, keys.minutes(1, "a"), 86_400),
        (QUARTERS, keys.quarters(1, "a"), 30 * 86_400),
    ]
    for grain, key, seconds in bounds:
        for number in (grain.chunk, 2 * grain.chunk - 1):
            await samples.write(grain, number, {"a": packed([1, 1, 1, 1])})
        assert await store.call("STRLEN", key) == 8 * grain.chunk
        assert seconds <= await store.call("TTL", key) <= seconds + 3600
    assert sum([await store.call("STRLEN", key) for _, key, _ in bounds]) < 40_000


async def test_when_a_sample_was_taken_is_remembered(store: Connection) -> None:
    samples = Samples(store)
    assert await samples.taken() is None
    await samples.write(MINUTES, 1, {"a": packed([1, 1, 1, 1])}, SamplesTaken(61.5, "5-0"))
    await samples.write(QUARTERS, 1, {"a": packed([1, 1, 1, 1])})
    assert await samples.taken() == SamplesTaken(61.5, "5-0")
