"""Worlds in which the store, the clocks or the configuration do not stand still, and proof that they catch what is
broken."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.proof.invariants import ONE_CLIENT, Invariant
from tests.redis_server import RedisServer
from tests.simulation.play import play, play_all
from tests.simulation.redis import LockStep
from tests.simulation.schedule import Schedule
from tests.simulation.test_simulation import Mutated
from tests.simulation.world import LOSSES, World

ENOUGH = 300
"""Schedules within which a broken program is caught, after the one that is known to catch it."""


@pytest.fixture(scope="module")
def redis() -> Iterator[LockStep]:
    server = RedisServer()
    server.start()
    with closing(LockStep(server)) as lock_step:
        yield lock_step
    server.remove()


def in_a(world: World) -> type[Schedule]:
    """Schedules that all play in one world."""

    class Played(Schedule):
        def world(self, seed: int) -> World:
            return world

    return Played


def caught(redis: LockStep, invariant: Invariant, kind: type[Schedule], known: int) -> bool:
    """Whether the invariant is found violated, best in the schedule that is known to show it."""
    return any(play(seed, redis, kind).invariant == invariant.number for seed in (known, *range(ENOUGH)))


NO_RECLAIM = "if redis.call('SISMEMBER', KEYS[4], vm) == 0 then return 0 end\nredis.call('SREM', KEYS[4], vm)"

BROKEN = [
    (LOSSES, "checkout", "doubted[p] = doubts and", "doubted[p] = false and", ONE_CLIENT, 0),
    (LOSSES, "reclaim", NO_RECLAIM, "do return 0 end", ONE_CLIENT, 0),
    (LOSSES, "arrive", "redis.call('DEL', KEYS[6])", "", ONE_CLIENT, 0),
    (LOSSES, "restore", "for _, entry in", "do return 0 end for _, entry in", ONE_CLIENT, 0),
    (LOSSES, "arrive", "redis.call('SADD', KEYS[3], each)", "", ONE_CLIENT, 0),
]


@pytest.mark.parametrize(("world", "script", "old", "new", "invariant", "known"), BROKEN)
def test_a_broken_script_is_caught(
    redis: LockStep, world: World, script: str, old: str, new: str, invariant: Invariant, known: int
) -> None:
    with closing(Mutated(redis.server, script, old, new)) as broken:
        assert caught(broken, invariant, in_a(world), known)
