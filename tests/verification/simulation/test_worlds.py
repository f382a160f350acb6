"""Worlds in which the store, the clocks or the configuration change, and proof that they catch a broken program."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.redis_server import RedisServer
from tests.verification.proof.invariants import ONE_CLIENT, Invariant
from tests.verification.simulation.play import play, play_all
from tests.verification.simulation.process import SimulatedProcess
from tests.verification.simulation.redis import LockStep
from tests.verification.simulation.schedule import Schedule
from tests.verification.simulation.service import ApiProcess, ManagerProcess
from tests.verification.simulation.test_simulation import Mutated
from tests.verification.simulation.world import CLOCKS, EVERYTHING, KEYS, LOSSES, SimulationWorld

SCHEDULES = 20
"""Number of schedules that CI plays of each world, in addition to those of ``test_simulation.py``."""

ENOUGH = 300
"""Number of schedules within which a broken program is caught, after the one that is known to catch it."""


@pytest.fixture(scope="module")
def redis() -> Iterator[LockStep]:
    server = RedisServer()
    server.start()
    with closing(LockStep(server)) as lock_step:
        yield lock_step
    server.remove()


def in_a(world: SimulationWorld) -> type[Schedule]:
    """Return schedules that all play in one world."""

    class Played(Schedule):
        def world(self, seed: int) -> SimulationWorld:
            return world

    return Played


def caught(redis: LockStep, invariant: Invariant, kind: type[Schedule], known: int) -> bool:
    """Whether a schedule that violates the invariant is found. The schedule known to show it is played first."""
    return any(play(seed, redis, kind).invariant == invariant.number for seed in (known, *range(ENOUGH)))


BROKEN = [
    (LOSSES, "checkout", "unverified[p] = doubts and", "unverified[p] = false and", ONE_CLIENT, 3),
    (LOSSES, "arrive", "redis.call('DEL', verified)", "", ONE_CLIENT, 3),
    (LOSSES, "reclaim", "if redis.call('SISMEMBER', queue, vm) == 0 then", "do", ONE_CLIENT, 31),
    (LOSSES, "restore", "for _, entry in", "do return 0 end for _, entry in", ONE_CLIENT, 45),
]


@pytest.mark.parametrize("world", [LOSSES, CLOCKS, KEYS, EVERYTHING], ids=lambda world: world.name)
def test_no_schedule_of_a_world_violates_an_invariant(redis: LockStep, world: SimulationWorld) -> None:
    totals = play_all(iter(range(SCHEDULES)), redis, in_a(world))
    assert not totals.failures, "\n\n".join(totals.failures.values())
    for name, percent in (
        ("a backup is put back", world.backup),
        ("a clock is set", world.step),
        ("a record expires", world.expire),
        ("a key vanishes", world.evict),
    ):
        assert bool(totals.counts[f"fault: {name}"]) == bool(percent), name


@pytest.mark.parametrize(("world", "script", "old", "new", "invariant", "known"), BROKEN)
def test_a_broken_script_is_caught(
    redis: LockStep, world: SimulationWorld, script: str, old: str, new: str, invariant: Invariant, known: int
) -> None:
    with closing(Mutated(redis.server, script, old, new)) as broken:
        assert caught(broken, invariant, in_a(world), known)


def test_times_by_the_clock_of_the_own_host_are_caught(redis: LockStep) -> None:
    class Own(SimulatedProcess):
        @property
        def wall(self) -> Callable[[], float]:
            return self.own

    class OwnManager(Own, ManagerProcess):
        pass

    class OwnApi(Own, ApiProcess):
        pass

    class OwnClocks(in_a(CLOCKS)):  # type: ignore[misc]  # the base class is made at run time
        kinds = OwnManager, OwnApi

    assert caught(redis, ONE_CLIENT, OwnClocks, 0)
