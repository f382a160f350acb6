"""Measures reads (``/status``, ``/vm`` and ``/vm/<host>``) against a resource that returns the same bytes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from benchmarks import api, floor, stock
from benchmarks.api import ApiService
from benchmarks.redis import RedisConnection
from benchmarks.rounds import MeasuredServer, Rounds, alternate, compared
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from benchmarks.wrk import RequestLoad
from vmpooler.domain import times
from vmpooler.store import keys

STATUS, VM = "/api/v1/status", "/api/v1/vm"

OF_STATUS, OF_VM = 1 / 3, 0.5

A_DAY = 2000
"""The number of VMs that were cloned today."""

CHECKOUTS_EVERY = 0.1
"""Seconds between checkouts while ``/status`` is measured: a response that is quick only while nothing changes is of
little use."""

EXACT = 1.0
"""Seconds within which ``/status`` must show a change."""


@contextmanager
def installation(scale: Scale, kind: type[ApiService] = ApiService) -> Iterator[tuple[ApiService, RedisConnection]]:
    """Run a large installation: three of four VMs are ready, the others are running."""
    each = scale.vms // scale.pools
    now = time.time()
    with api.redis() as (socket, redis), kind(stock.config(socket, scale.pools, each)) as ours:
        stock.spread(redis, scale.pools, each * 3 // 4, each - each * 3 // 4, now)
        for key, seconds in ((keys.clone_times(times.day(now)), "21.50"), (keys.boot_times(times.day(now)), "48.25")):
            for number in range(min(A_DAY, scale.vms)):
                pool = number % scale.pools
                redis.call("HSET", key, f"{stock.pool(pool)}:{stock.vm(pool, number)}", seconds)
        yield ours, redis


def status(scale: Scale) -> list[ResultRow]:
    """Measure ``GET /status`` while VMs are checked out, and how soon it shows a checkout."""
    with installation(scale) as (ours, _):
        late = lateness(ours)
        with checkouts(ours, scale.pools):
            rounds = beside_bare(ours, STATUS, scale)
    return [
        compared(rounds, "bare", f"`GET /status`, {scale.pools} pools, {scale.vms:,} VMs", OF_STATUS),
        ResultRow(
            "a checkout shows in `/status`",
            f"{1000 * late:.0f} ms later",
            target=f"within {EXACT:g} s",
            met=late <= EXACT,
            figures={"late": late},
        ),
    ]


def vm(scale: Scale) -> list[ResultRow]:
    """Measure ``GET /vm/<host>`` of a running VM, and ``GET /vm``, the list of all pools."""
    with installation(scale) as (ours, _):
        host = stock.vm(0, scale.vms // scale.pools - 1)
        one, names = beside_bare(ours, f"{VM}/{host}", scale), beside_bare(ours, VM, scale)
    return [
        compared(one, "bare", "`GET /vm/<host>`", OF_VM),
        compared(names, "bare", f"`GET /vm`, {scale.pools} pools", OF_VM),
    ]


def beside_bare(ours: ApiService, path: str, scale: Scale) -> Rounds:
    """Return the rounds of the service, and of a resource that returns the same response.

    Raises RuntimeError when the status is not 200.
    """
    answer = ours.asked("GET", path)
    if answer.status != 200:
        raise RuntimeError(f"GET {path}: {answer.status}")
    load = RequestLoad("GET", path, connections=scale.connections)
    with floor.bare(answer.body, answer.headers) as bare:
        servers: dict[str, MeasuredServer] = {"ours": ours, "bare": bare}
        return alternate(servers, dict.fromkeys(servers, load), scale)


def lateness(ours: ApiService) -> float:
    """Return the seconds until ``/status`` shows a checkout, at most a little over ten times EXACT."""
    before = ready(ours)
    ours.asked("POST", f"{VM}/{stock.pool(0)}")
    began = time.monotonic()
    while ready(ours) == before and time.monotonic() < began + 10 * EXACT:
        time.sleep(0.01)
    return time.monotonic() - began


def ready(ours: ApiService) -> int:
    """Return the number of ready VMs in ``/status``."""
    return int(ours.json(STATUS)["capacity"]["current"])


@contextmanager
def checkouts(ours: ApiService, pools: int) -> Iterator[None]:
    """Check out VMs in a thread while the context is open."""
    over = Event()

    def take() -> None:
        number = 0
        while not over.wait(CHECKOUTS_EVERY):
            ours.asked("POST", f"{VM}/{stock.pool(number % pools)}")
            number += 1

    thread = Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
