"""Measures ``/summary`` of a month, for days whose sums are not stored yet (cold) and are stored (warm)."""

import time
from collections.abc import Sequence
from datetime import date, timedelta
from statistics import median

from benchmarks import api, stock
from benchmarks.api import ApiService
from benchmarks.redis import RedisConnection
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from vmpooler.store import keys

WARM, COLD = 0.05, 1.0
"""The targets, in seconds."""

WARM_TRIES = 5
"""The number of warm requests for each cold one."""


def measure(scale: Scale) -> list[ResultRow]:
    """Return the row of warm requests, and that of cold requests."""
    today = date.today()
    days = [(today - timedelta(days=before)).isoformat() for before in range(scale.days)]
    path = f"/api/v1/summary?from={days[-1]}&to={days[0]}"
    cold, warm = [], []
    with api.redis() as (socket, redis), ApiService(stock.config(socket, scale.wide)) as ours:
        for day in days:
            remember(redis, day, scale)
        for _ in range(scale.rounds):
            redis.call("DEL", *(keys.summary(day) for day in days))
            cold.append(taken(ours, path))
            warm += [taken(ours, path) for _ in range(WARM_TRIES)]
    what = f"`/summary` of {scale.days} days, {scale.a_day:,} VMs a day"
    return [row(f"{what}, warm", warm, WARM), row(f"{what}, cold", cold, COLD)]


def remember(redis: RedisConnection, day: str, scale: Scale) -> None:
    """Write one day to Redis: ``scale.a_day`` VMs of ``scale.wide`` pools were cloned, booted and tagged."""
    names = [(stock.pool(number % scale.wide), stock.vm(0, number)) for number in range(scale.a_day)]
    times = [word for pool, vm in names for word in (f"{pool}:{vm}", f"{20 + len(vm) * 0.37:.2f}")]
    tags = [word for pool, vm in names for word in (f"{vm}:jenkins_build_url", f"https://ci.example.com/{pool}")]
    redis.call("HSET", keys.clone_times(day), *times)
    redis.call("HSET", keys.boot_times(day), *times)
    redis.call("HSET", keys.tag_values(day), *tags)


def taken(ours: ApiService, path: str) -> float:
    """Return the seconds until the response has arrived. Raises RuntimeError when the status is not 200."""
    began = time.monotonic()
    if ours.asked("GET", path).status != 200:
        raise RuntimeError(f"GET {path} was refused")
    return time.monotonic() - began


def row(what: str, seconds: Sequence[float], most: float) -> ResultRow:
    """Return the row of one kind of request."""
    found = median(seconds)
    asked = f"below {1000 * most:.0f} ms"
    return ResultRow(what, f"{1000 * found:.0f} ms", target=asked, met=found < most, figures={"seconds": found})
