"""One run: processes, clients and faults for a while, then a quiet period, then the evidence."""

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from tests.verification.chaos.clients import ASKED, ChaosClient
from tests.verification.chaos.cluster import FOREIGN, VARIANTS, ChaosCluster
from tests.verification.chaos.evidence import Evidence, gathered
from tests.verification.chaos.faults import FaultInjector
from tests.verification.chaos.leadership import LeaseWatcher
from tests.verification.chaos.redis_reader import RedisReader
from tests.verification.chaos.watcher import RedisSample, Watcher, sample
from tests.verification.chaos.worlds import ChaosWorld
from vmpooler.domain.model import Queue
from vmpooler.store import keys

SETTLES = 75.0
"""Seconds that refilling may take: a clone of unknown outcome alone is waited for for 30 s."""

CLIENTS = 6
TRACEBACK = re.compile(r"[^\n]*\nTraceback .*?(?=\n\[\d{4}-|\Z)|[^\n]*Unhandled[^\n]*", re.DOTALL)
"""A failure in a log: the line before the traceback, and all lines until the next one with a time."""

EVERY = 0.25
"""Seconds between two samples."""


@attrs.frozen
class Run:
    """The result of a run. ``faults`` counts each fault, ``unreached`` the requests that reached no process;
    ``takeovers`` has the seconds of each takeover after a kill of the leading manager."""

    evidence: Evidence
    faults: Counter[str]
    takeovers: list[float]
    unreached: int
    tracebacks: tuple[str, ...]


def run(cluster: ChaosCluster, world: ChaosWorld, seconds: float, seed: int, log: Callable[[str], None]) -> Run:
    """Run for this many seconds, then let the service settle, and collect the evidence."""
    books, pools = RedisReader(cluster.redis.socket), cluster.pools
    _wait(lambda: _short(sample(books, pools), cluster), SETTLES)
    cluster.add_foreign()
    chance = random.Random(seed)
    ports = [service.port for service in cluster.apis]
    clients = [
        ChaosClient(number, ports, random.Random(f"{seed} {number}"), [*ASKED, *world.asked])
        for number in range(CLIENTS)
    ]
    watcher = Watcher(books, pools, EVERY)
    lease_watcher = LeaseWatcher(books)
    injector = FaultInjector(cluster, lease_watcher, chance, world.faults)
    for thread in (watcher, lease_watcher, *clients):
        thread.start()
    progress = Progress(clients, injector, log)
    injector.run(time.monotonic() + seconds, progress.report)
    quiet = time.monotonic()
    for client in clients:
        client.done = True
    for client in clients:
        client.join()
    if cluster.variant != (first := next(iter(VARIANTS))):
        cluster.reconfigure(first)
    short = _wait(lambda: _short(_confirmed(books, cluster), cluster), SETTLES)
    took = None if short else time.monotonic() - quiet
    for watch in (watcher, lease_watcher):
        watch.done = True
        watch.join()
    progress.report(f"not full again: {'; '.join(short)}" if short else f"full again after {took:.1f} s", always=True)
    for name in cluster.manager_names:
        cluster.services[name].stop()
    known: dict[str, Any] = {
        "operations": sorted((each for client in clients for each in client.history), key=lambda each: each.began),
        "inventory": cluster.inventory(),
        "forgot": injector.forgot,
        "settled": took,
        "held_up": injector.held_up,
        "lapses": injector.lapses,
    }
    evidence = gathered(books, pools, watcher.samples, known, cluster.vcenter.journal)
    unreached = sum(client.unreached for client in clients)
    return Run(evidence, injector.counts, lease_watcher.takeovers(), unreached, tuple(_tracebacks(cluster)))


class Progress:
    """Reports the progress every few seconds."""

    def __init__(self, clients: list[ChaosClient], injector: FaultInjector, log: Callable[[str], None]) -> None:
        self._clients, self._injector, self._log = clients, injector, log
        self._began = self._last = time.monotonic()

    def report(self, more: str = "", *, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._last > 5:
            self._last = now
            operations = sum(len(client.history) for client in self._clients)
            faults = self._injector.counts.total()
            self._log(f"{now - self._began:6.1f} s: {operations} operations, {faults} faults {more}".rstrip())


def _confirmed(books: RedisReader, cluster: ChaosCluster) -> RedisSample:
    """Take a sample. Where Redis loses writes, also confirm as an operator, as the log message asks, that the VMs held
    back by the mass guard may go. No VM of a client is among them."""
    now = sample(books, cluster.pools)
    unknown = (
        {pool: now.queues[pool, Queue.DISCOVERED] - {FOREIGN} for pool in cluster.pools} if cluster.forgets else {}
    )
    given_up = [("SADD", keys.confirmed(pool), *vms) for pool, vms in unknown.items() if vms]
    if given_up:
        books.ask(*given_up)
    return now


def _short(now: RedisSample, cluster: ChaosCluster) -> list[str]:
    """Return what is missing until every pool is at size, and no VM of the service is in flight or unknown."""
    found = [f"{len(now.cloning)} clones are counted"] if now.cloning else []
    for pool in cluster.pools:
        ready, size = len(now.queues[pool, Queue.READY]), cluster.sizes.get(pool, 0)
        if ready != size:
            found.append(f"{pool} has {ready} of {size} ready")
        for queue in (Queue.PENDING, Queue.COMPLETED, Queue.DISCOVERED):
            if left := now.queues[pool, queue] - {FOREIGN}:
                found.append(f"{pool} has {queue}: {', '.join(sorted(left))}")
    return found


def _wait(short: Callable[[], list[str]], seconds: float) -> list[str]:
    """Wait until nothing is missing, at most this many seconds. Returns what is missing then."""
    end, found = time.monotonic() + seconds, ["Redis does not answer"]
    while found and time.monotonic() < end:
        with suppress(OSError):  # Redis is away: the next try may reach it
            found = short()
        if found:
            time.sleep(0.1)
    return found


def _tracebacks(cluster: ChaosCluster) -> list[str]:
    """Return the unexpected failures that processes logged: each from the line before it to its end."""
    return [
        f"{name}: {found[0]}"
        for name, service in cluster.services.items()
        for found in re.finditer(TRACEBACK, service.said)
    ]
