"""Thousands who listen to events, of which there is one a second: how late they hear of it, what they cost, and whether
others notice."""

import time
from threading import Thread
from typing import Any

from benchmarks import api, stock
from benchmarks.api import Api
from benchmarks.cores import Usage
from benchmarks.redis import Redis
from benchmarks.row import Row
from benchmarks.scale import Scale
from benchmarks.wrk import Load, run
from tests.load.crowd import Crowd
from vmpooler.store import keys

LATE, KIBIBYTES, ANSWER = 300.0, 10.0, 20.0
"""p99 in milliseconds, for each client, p99 in milliseconds."""

SECONDS = 15

PATIENCE = 20.0
"""Seconds that the last event may take to be heard by all."""

PAUSE = 20
"""Milliseconds between requests of the one client who asks for something else."""


def measure(scale: Scale) -> list[Row]:
    """The one line."""
    seconds = min(SECONDS, scale.idle)
    with api.redis() as (socket, redis), Api(stock.config(socket, 10)) as ours:
        usage = Usage(ours.pid)
        beside = Load("GET", "/api/v1/vm", connections=1, pause=PAUSE)
        run(ours.url, ours.pids, beside, 1)
        before = usage.memory
        with Crowd(ours.port, scale.listeners) as crowd:
            crowd.listens()
            cpu = usage.cpu
            happening = Thread(target=happen, args=(redis, seconds))
            happening.start()
            answered = run(ours.url, ours.pids, beside, seconds)
            happening.join()
            cost = 1e6 * (usage.cpu - cpu) / (scale.listeners * seconds)
            each = (usage.memory - before) / scale.listeners
            heard = all_heard(crowd, scale.listeners, seconds)
    late = heard["late"]["99"]
    whole = is_whole(heard, scale.listeners, seconds) and not answered.refused + answered.lost
    return [
        Row(
            f"{scale.listeners:,} listeners, an event a second",
            f"p99 {late:.0f} ms, {each:.1f} KiB each, API p99 {answered.p99:.0f} ms; {cost:.0f} µs of CPU to tell one",
            target=f"below {LATE:g} ms, {KIBIBYTES:g} KiB, {ANSWER:g} ms",
            met=whole and late < LATE and each < KIBIBYTES and answered.p99 < ANSWER,
            figures={"late": late, "each": each, "cost": cost, "answered": answered.p99, "whole": whole},
        )
    ]


def all_heard(crowd: Crowd, listeners: int, events: int) -> dict[str, Any]:
    """What they heard, when all have heard of every event; what they had heard until then, when that takes too long."""
    end = time.monotonic() + PATIENCE
    while not is_whole(heard := crowd.on_event(), listeners, events) and time.monotonic() < end:
        time.sleep(0.5)
    return heard


def is_whole(heard: dict[str, Any], listeners: int, events: int) -> bool:
    """Whether all have heard of every event."""
    return bool(heard["same"] == listeners and len(heard["ids"]) == events)


def happen(redis: Redis, seconds: int) -> None:
    """One event a second."""
    for number in range(seconds):
        fields = {"what": "ready", "pool": stock.pool(0), "vm": stock.vm(0, number), "when": f"{time.time():.3f}"}
        words = [word for pair in {**fields, "by": "manager"}.items() for word in pair]
        redis.call("XADD", keys.EVENTS, "*", *words)
        time.sleep(1)
