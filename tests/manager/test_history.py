"""The samples that a manager takes of its pools."""

from collections.abc import Sequence

from tests.manager.world import MORNING, World
from vmpooler.domain.history import GROUP, MINUTES, QUARTERS, Grain, series
from vmpooler.store import keys
from vmpooler.store.commands.samples import Samples
from vmpooler.store.redis.client import Connection

YAML = """
config: {prefix: vm-}
providers: {dummy: {}}
pools: [{name: debian, size: 3}, {name: ubuntu, size: 1}]
"""

FIRST = int(MORNING) // 60


async def kept(world: World, grain: Grain, first: int, count: int, what: str = "ready") -> Sequence[float | None]:
    """Return the samples of the pool debian."""
    found = await Samples(world.real).read(grain, first, count, ["debian", "ubuntu"])
    return series(found["debian"], 1)[what]


async def test_every_minute_says_what_there_was_at_its_end_and_what_was_checked_out_in_it(store: Connection) -> None:
    async with World(store, YAML) as world:
        await world.advance(90)
        assert await kept(world, MINUTES, FIRST, 2) == [3, None]
        await world.checkout(debian=2)
        await world.advance(31)
        await world.checkout(debian=1)
        await world.advance(60)
        assert await kept(world, MINUTES, FIRST, 4) == [3, 3, 3, None]
        assert await kept(world, MINUTES, FIRST, 4, "running") == [0, 2, 3, None]
        assert await kept(world, MINUTES, FIRST, 4, "checkouts") == [0, 2, 1, None]


async def test_a_restart_loses_no_checkout_and_leaves_a_gap_where_no_manager_was(store: Connection) -> None:
    async with World(store, YAML) as world:
        await world.advance(90)
        await world.checkout(debian=2)
        await world.crash()
        await world.advance(31)
        assert await kept(world, MINUTES, FIRST, 2, "checkouts") == [0, 2]
        world.processes[-1].kill()
        await world.advance(180)
        await world.begin()
        await world.advance(61)
        assert await kept(world, MINUTES, FIRST, 6, "running") == [0, 2, None, None, 2, 2]


async def test_every_quarter_of_an_hour_is_summed_up(store: Connection) -> None:
    async with World(store, YAML) as world:
        await world.advance(90)
        await world.checkout(debian=2)
        await world.advance(minutes=14)
        quarter = FIRST // GROUP
        assert await kept(world, QUARTERS, quarter, 2, "running") == [2, None]
        assert await kept(world, QUARTERS, quarter, 2, "checkouts") == [2, None]


async def test_a_sample_of_a_moment_that_lies_ahead_stops_none(store: Connection) -> None:
    async with World(store, YAML) as world:
        await world.real.call("SET", keys.SAMPLED, f"{MORNING + 3600:.3f} 0-0")
        await world.advance(90)
        assert await kept(world, MINUTES, FIRST, 2) == [3, None]
