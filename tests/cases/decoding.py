"""Kind 6: data that a newer version wrote before it was rolled back."""

import json
from collections.abc import Callable

from tests.cases.case import case
from tests.cases.world import (
    EMBEDDED,
    FULL,
    POOL,
    CaseWorld,
    ask,
    books,
    comes,
    config,
    full,
    hold,
    log_in,
    members,
    take,
)
from tests.verification.chaos.redis_reader import RedisReader
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.store import keys

BEFORE = "a TypeError a round, and the pool stops for ever"


@case("6-trouble", "a trouble has a member that is unknown", BEFORE)
def a_trouble(world: CaseWorld) -> str:
    trouble = json.dumps({"tries": 1, "until": 0, "why": "no space", "kindled": "later"})
    return _goes_on(world, lambda of, vm: of.ask(("HSET", keys.trouble(POOL), "vm-other", trouble)))


@case("6-task", "a task has a member that is unknown", BEFORE)
def a_task(world: CaseWorld) -> str:
    def enter(of: RedisReader, vm: str) -> None:
        task = {"id": "000000000900", "kind": Kind.DISK, "vm": vm, "argument": "5", "tries": 0, "retry_at": 0}
        of.ask(("HSET", keys.tasks(POOL), task["id"], json.dumps({**task, "tier": "gold"})))

    return _goes_on(world, enter)


@case("6-record", "a record has a member that is unknown", "no fault was seen; it must stay so")
def a_record(world: CaseWorld) -> str:
    return _goes_on(world, lambda of, vm: of.ask(("HSET", keys.record(vm), "colour", "blue")))


def _goes_on(world: CaseWorld, enter: Callable[[RedisReader, str], object]) -> str:
    """Check that the pool still does its work after ``enter`` wrote data for a VM in use."""
    service = world.service("all", config(EMBEDDED, [{"name": POOL, "size": 2}]))
    service.start()
    of, token = books(service), log_in(service)
    full(of, 2)
    vm = take(service, token)
    full(of, 2)
    enter(of, vm)
    other = take(service, token)
    took = comes(lambda: len(members(of, Queue.READY)) == 2, FULL)
    hold(took is not None, f"no VM is replaced for {FULL:g} s")
    answer = ask(service, "DELETE", f"/vm/{other}", token=token)
    hold(answer.status == 200, f"DELETE answered {answer.status}")
    gone = comes(lambda: other not in members(of, Queue.COMPLETED) | members(of, Queue.RUNNING), FULL)
    hold(gone is not None, f"{other} is not destroyed after {FULL:g} s")
    status = ask(service, "GET", "/status").status
    hold(status == 200, f"/status answered {status}")
    hold("TypeError" not in service.said, "a TypeError is in the log")
    return f"replaced after {took:.0f} s, a VM destroyed after {gone:.0f} s"
