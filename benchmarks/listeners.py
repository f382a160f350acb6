"""Measures thousands of event subscribers, with one event a second.

The figures are the delay of the events, the memory and CPU time for each subscriber, and the latency of other requests.
"""

import time
from threading import Thread
from typing import Any

from benchmarks import api, stock
from benchmarks.api import ApiService
from benchmarks.cores import Usage
from benchmarks.redis import RedisConnection
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from benchmarks.wrk import RequestLoad, run
from tests.verification.load.crowd import Crowd
from vmpooler.store import keys

LATE, KIBIBYTES, ANSWER = 300.0, 10.0, 20.0
"""Targets: p99 of the delay in milliseconds, KiB for each subscriber, p99 of other requests in milliseconds."""

SECONDS = 15

PATIENCE = 20.0
"""Seconds within which all subscribers must receive the last event."""

PAUSE = 20
"""Milliseconds between requests of the one client that sends other requests."""


def measure(scale: Scale) -> list[ResultRow]:
    """Return the one row."""
    seconds = min(SECONDS, scale.idle)
    with api.redis() as (socket, redis), ApiService(stock.config(socket, 10)) as ours:
        usage = Usage(ours.pid)
        beside = RequestLoad("GET", "/api/v1/vm", connections=1, pause=PAUSE)
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
            received = all_received(crowd, scale.listeners, seconds)
    late = received["late"]["99"]
    whole = is_whole(received, scale.listeners, seconds) and not answered.refused + answered.lost
    return [
        ResultRow(
            f"{scale.listeners:,} listeners, an event a second",
            f"p99 {late:.0f} ms, {each:.1f} KiB each, API p99 {answered.p99:.0f} ms; {cost:.0f} µs of CPU per event",
            target=f"below {LATE:g} ms, {KIBIBYTES:g} KiB, {ANSWER:g} ms",
            met=whole and late < LATE and each < KIBIBYTES and answered.p99 < ANSWER,
            figures={"late": late, "each": each, "cost": cost, "answered": answered.p99, "whole": whole},
        )
    ]


def all_received(crowd: Crowd, listeners: int, events: int) -> dict[str, Any]:
    """Return what the subscribers received, when all have received every event or PATIENCE is over."""
    end = time.monotonic() + PATIENCE
    while not is_whole(received := crowd.received(), listeners, events) and time.monotonic() < end:
        time.sleep(0.5)
    return received


def is_whole(received: dict[str, Any], listeners: int, events: int) -> bool:
    """Return whether all subscribers have received every event."""
    return bool(received["same"] == listeners and len(received["ids"]) == events)


def happen(redis: RedisConnection, seconds: int) -> None:
    """Write one event a second, for this number of seconds."""
    for number in range(seconds):
        fields = {"what": "ready", "pool": stock.pool(0), "vm": stock.vm(0, number), "when": f"{time.time():.3f}"}
        words = [word for pair in {**fields, "by": "manager"}.items() for word in pair]
        redis.call("XADD", keys.EVENTS, "*", *words)
        time.sleep(1)
