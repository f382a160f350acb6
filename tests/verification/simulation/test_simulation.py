"""The schedules of CI, their replay, and proof that a broken program would be caught."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from random import Random
from typing import Any

import attrs
import pytest

from tests.redis_server import RedisServer
from tests.verification.proof.invariants import (
    ACCOUNTED,
    DURABLE,
    FULL_AGAIN,
    INVARIANTS,
    NOT_REFUSED,
    ONE_EVENT,
    ONE_QUEUE,
    WITHIN_LIMITS,
    Invariant,
)
from tests.verification.simulation.play import difference, play, play_all, words
from tests.verification.simulation.process import SimulatedConnection
from tests.verification.simulation.redis import LockStep, virtual
from tests.verification.simulation.schedule import Schedule
from tests.verification.simulation.world import PLAIN, SimulationWorld
from vmpooler.settings import Settings
from vmpooler.store.redis.protocol import Value
from vmpooler.store.redis.scripts import fenced, load

SCHEDULES = 120
"""Number of schedules that CI plays here; ``python -m tests.verification.simulation`` plays as many as time allows."""

ENOUGH = 300
"""Number of schedules within which a broken program is caught."""

SOME = 568
"""The seed of a schedule that is replayed."""


@pytest.fixture(scope="module")
def redis() -> Iterator[LockStep]:
    server = RedisServer()
    server.start()
    with closing(LockStep(server)) as lock_step:
        yield lock_step
    server.remove()


@pytest.mark.parametrize("part", range(4))
def test_no_schedule_violates_an_invariant(redis: LockStep, part: int) -> None:
    totals = play_all(iter(range(part, SCHEDULES, 4)), redis)
    assert not totals.failures, "\n\n".join(totals.failures.values())
    for invariant in INVARIANTS:
        assert totals.checks[invariant.number] >= len(totals.seeds), f"{invariant} was hardly checked"
    assert totals.counts["terms"] > len(totals.seeds), "no manager took over from another"
    for fault in ("process dies", "process freezes", "Redis is away", "command arrives late", "client hangs up"):
        assert totals.counts[f"fault: {fault}"], f"{fault}: never"


def test_a_seed_plays_the_same_schedule_again(redis: LockStep) -> None:
    first = play(SOME, redis)
    assert not difference(first.trace, play(SOME, redis).trace)
    assert difference(first.trace, play(SOME + 1, redis).trace)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_with_another_redis_plays_the_same_schedule(redis: LockStep, hash_seed: str) -> None:
    there = subprocess.run(
        [sys.executable, "-m", "tests.verification.simulation", "--seed", str(SOME), "--trace"],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    here = play(SOME, redis)
    assert there.stdout.splitlines()[:-1] == list(words(here.trace, redis.scripts))


class Plain(Schedule):
    """Schedules in which Redis loses nothing: most faults in the program show there soonest."""

    def world(self, seed: int) -> SimulationWorld:
        return PLAIN


class Mutated(LockStep):
    """A Redis that runs a changed text for a script."""

    def __init__(self, server: RedisServer, name: str, old: str, new: str) -> None:
        super().__init__(server)
        script = load(name)
        assert old in script.source, f"{name} does not say {old!r} any more"
        for whole in (script, fenced(script)):
            self.run_instead(whole, virtual(attrs.evolve(whole, source=whole.source.replace(old, new))))


BROKEN = [
    ("complete", "redis.call('SMOVE', queue, completed, vm)", "redis.call('SREM', queue, vm)", ONE_QUEUE),
    ("give_back", "redis.call('SMOVE', running, ready, vm)", "redis.call('SADD', ready, vm)", ONE_QUEUE),
    ("put_back", "redis.call('SMOVE', running, ready, vm)", "redis.call('SADD', ready, vm)", ONE_QUEUE),
    ("give_back", "if redis.call('HGET', record, 'checkout_id') ~=", "do return 0 end if '' ~=", FULL_AGAIN),
    ("begin_clone", ">= tonumber(size)", "> tonumber(size)", WITHIN_LIMITS),
    ("begin_clone", "if free <= before then", "if false then", WITHIN_LIMITS),
    ("begin_clone", ">= tonumber(size)", ">= tonumber(size) - 1", FULL_AGAIN),
    ("change", "redis.call('HSET', record, 'tag:'", "redis.call('HSET', record, 'tog:'", DURABLE),
    ("adopt", "redis.call('HSETNX', tasks_prefix .. owner", "redis.call('HSETNX', tasks_prefix .. 'nobody'", DURABLE),
    ("checkout", "if wanted[i].count > all then", "if wanted[i].count >= all then", NOT_REFUSED),
    ("complete", "emit('completed', why, {'queue', queue_name})", "", ONE_EVENT),
    ("promote", "emit('ready'", "emit('ready'); emit('ready'", ONE_EVENT),
]


@pytest.mark.parametrize(("script", "old", "new", "invariant"), BROKEN, ids=lambda part: str(part)[:40])
def test_a_broken_script_is_caught(redis: LockStep, script: str, old: str, new: str, invariant: Invariant) -> None:
    with closing(Mutated(redis.server, script, old, new)) as broken:
        assert caught(broken, invariant)


def test_a_checkout_of_two_commands_is_caught(redis: LockStep) -> None:
    class TwoCommands(SimulatedConnection):
        async def _send(self, *command: Value) -> Any:
            if command[1] != load("checkout").sha:
                return await super()._send(*command)
            ready = load("checkout").values(command)["places"][0]
            if vm := await super()._send("SPOP", ready):
                await super()._send("SADD", ready, vm)
            return await super()._send(*command)

    class GivesInTwoCommands(Plain):
        line = TwoCommands

    assert caught(redis, ONE_QUEUE, GivesInTwoCommands)


def test_a_service_that_destroys_foreign_vms_is_caught(redis: LockStep) -> None:
    class DestroysForeign(Plain):
        def settings(self, chance: Random, world: SimulationWorld) -> Settings:
            right = super().settings(chance, world)
            return attrs.evolve(right, general=attrs.evolve(right.general, destroy_foreign=True))

    assert caught(redis, ACCOUNTED, DestroysForeign)


def caught(redis: LockStep, invariant: Invariant, kind: type[Schedule] = Plain) -> bool:
    """Whether a schedule that violates the invariant is found within ``ENOUGH`` schedules."""
    return any(play(seed, redis, kind).invariant == invariant.number for seed in range(ENOUGH))
