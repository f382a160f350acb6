"""The JSON of ``GET /status``, and of other counts of pools."""

from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from vmpooler.domain import graphite
from vmpooler.domain.counts import Counts, PoolCounts
from vmpooler.domain.graphite import Points
from vmpooler.domain.summary import Figures
from vmpooler.settings import Pool
from vmpooler.web.views.summary import duration

ALL_WELL = "Battle station fully armed and operational."

MEMBERS = frozenset({"boot", "capacity", "clone", "pools", "queue"})
"""The members of the status that can be requested."""


def status(pools: Sequence[Pool], counts: Counts, uptime: float, wanted: Collection[str] = MEMBERS) -> dict[str, Any]:
    """Return the body of ``GET /status``.

    ``counts`` are those of ``pools``, in their order; ``uptime`` is in seconds. ``wanted`` has the MEMBERS to return.
    ``status`` is always returned, and considers the pools only if ``pools`` is wanted.
    Source: docs/compatibility.md#client-traps.
    """
    members: dict[str, Any] = {
        "boot": _durations(counts.boot_seconds),
        "capacity": _capacity(pools, counts),
        "clone": _durations(counts.clone_seconds),
        "pools": {pool.name: _pool(pool, each) for pool, each in zip(pools, counts.pools, strict=True)},
        "queue": _queue(counts),
    }
    judged = zip(pools, counts.pools, strict=True) if "pools" in wanted else ()
    empty = [pool.name for pool, each in judged if pool.size and not each.ready]
    found = {"status": _verdict(empty, uptime), **{name: members[name] for name in wanted}}
    return dict(sorted(found.items()))


def stock(pools: Sequence[Pool], ready: Sequence[int]) -> dict[str, Any]:
    """Return the ready VMs of some pools. ``ready`` has a number for each of ``pools``, in their order.

    Source: docs/compatibility.md#pool-statistics.
    """
    return {
        "pools": {
            pool.name: {"max": pool.size, **_aliases(pool), "ready": count}
            for pool, count in zip(pools, ready, strict=True)
        }
    }


def sizes(pools: Sequence[Pool], ready: Sequence[int], history: Mapping[str, Points] | None) -> dict[str, Any]:
    """Return what the dashboard draws of each pool.

    ``history`` is what Graphite returned, None if no history is requested. A pool that Graphite does not know has its
    present count as history. Source: docs/compatibility.md#charts.
    """
    found: dict[str, Any] = {}
    for pool, count in zip(pools, ready, strict=True):
        found[pool.name] = {"size": pool.size, "ready": count}
        if history is not None:
            numbers = graphite.steady(history.get(pool.name, ()), pool.size)
            repeated = [number for number in numbers for _ in range(graphite.REPETITIONS)]
            found[pool.name]["history"] = repeated or [count]
    return found


def running(pools: Sequence[Pool], counts: Sequence[int], history: Mapping[str, Points]) -> dict[str, Any]:
    """Return how many VMs of each family of pools are running, and how many were, as far as Graphite knows.

    The family is what precedes the first hyphen of a pool's name, and is empty if the name has no hyphen.
    Source: docs/compatibility.md#charts.
    """
    families: dict[str, dict[str, Any]] = {}
    for pool, count in zip(pools, counts, strict=True):
        family, hyphen, _ = pool.name.partition("-")
        name = family if hyphen else ""
        found = families.setdefault(name, {"running": 0})
        found["running"] += count
        if numbers := graphite.steady(history.get(pool.name, ()), 0):
            found["history"] = [sum(each) for each in zip_longest(found.get("history", ()), numbers, fillvalue=0)]
    return families


def _durations(seconds: Sequence[float]) -> dict[str, Any]:
    return {"duration": duration(Figures.of(seconds)), "count": {"total": len(seconds)}}


def _capacity(pools: Sequence[Pool], counts: Counts) -> dict[str, Any]:
    current = sum(each.ready for each in counts.pools)
    total = sum(pool.size for pool in pools)
    return {"current": current, "total": total, "percent": round(100 * current / total, 1) if total else 0}


def _pool(pool: Pool, counts: PoolCounts) -> dict[str, Any]:
    figures = {"ready": counts.ready, "running": counts.running, "pending": counts.pending, "max": pool.size}
    return {**figures, **_aliases(pool), "lastBoot": counts.last_boot}


def _aliases(pool: Pool) -> dict[str, Any]:
    return {"alias": list(pool.alias)} if pool.alias else {}


def _queue(counts: Counts) -> dict[str, Any]:
    pending, ready, running, completed = (
        sum(getattr(each, queue) for each in counts.pools) for queue in ("pending", "ready", "running", "completed")
    )
    return {
        "pending": pending,
        "cloning": counts.cloning,
        "booting": max(0, pending - counts.cloning),
        "ready": ready,
        "running": running,
        "completed": completed,
        "total": pending + ready + running + completed,
    }


def _verdict(empty: Sequence[str], uptime: float) -> dict[str, Any]:
    trouble = {"empty": list(empty)} if empty else {}
    message = f"Found {len(empty)} empty pools." if empty else ALL_WELL
    return {"ok": not empty, "message": message, **trouble, "uptime": round(uptime, 1)}
