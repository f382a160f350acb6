"""The faults of a run: each starts, holds for a while, and ends."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import attrs

from tests.service.process import Service
from tests.verification.chaos.cluster import VARIANTS, ChaosCluster
from tests.verification.chaos.leadership import LeaderKill, LeaseWatcher, pid_of

GAP = 1.5
"""Maximum seconds without any fault between two."""

MOSTLY = 0.8
"""Probability that a fault of a manager hits the one that leads."""

MOST_FOR_AN_END = 40.0
"""Maximum seconds until a process that is asked to end has ended."""


BACKUPS, OLDEST = 4.0, 25.0
"""Seconds between two backups, and the maximum age of a backup that is put back. Processes remember their recent writes
for a minute; for older ones the stamps of the VMs remain."""

OFTEN = 3
"""How many times a world's own faults are listed, where other faults are listed once."""

STEPS = (-3600, -600, -60, -5, 0, 5, 60, 600, 3600)
"""Seconds by which clocks are wrong."""


class FaultInjector:
    """Inflicts all ``faults`` in random order, again and again, often two at once. A manager fault mostly hits the
    leader, which ``lease_watcher`` names.

    ``counts`` counts each fault; ``forgot``: when (epoch) the vCenter lost all its VMs; ``held_up``: periods (from, to)
    in which orders to it may have been delayed; ``lapses``: periods (from, to) whose writes Redis lost.
    """

    def __init__(
        self, cluster: ChaosCluster, lease_watcher: LeaseWatcher, chance: random.Random, faults: "Sequence[Fault]"
    ) -> None:
        self._cluster, self._lease_watcher, self._chance = cluster, lease_watcher, chance
        self._at_once: list[Fault] = []
        self.counts: Counter[str] = Counter()
        self.forgot: list[float] = []
        self.held_up: list[tuple[float, float]] = []
        self.lapses: list[tuple[float, float]] = []
        self._faults = faults
        self._backups: list[tuple[float, Path]] = []
        self._lacks_foreign = False

    def run(self, until: float, on_fault: Callable[[], None]) -> None:
        """Inflict faults until ``until`` (monotonic seconds), and until each was inflicted.

        ``on_fault`` is called after each of them.
        """
        deck: list[Fault] = []
        names = {str(fault) for fault in self._faults}
        while time.monotonic() < until or self.counts.keys() != names:
            deck = deck or self._chance.sample(self._faults, len(self._faults))
            both = [deck.pop()]
            if deck and deck[-1].of != both[0].of and self._chance.random() < 0.6:
                both.append(deck.pop())
            self._at_once = both
            hold = max(self._chance.uniform(*fault.hold) for fault in both)
            with ExitStack() as ends:
                for fault in both:
                    self.counts[str(fault)] += 1
                    ends.enter_context(fault.inflict(self))
                    time.sleep(self._chance.uniform(0, 0.3))
                time.sleep(hold)
            self._bring_foreign()
            self._back_up()
            on_fault()
            time.sleep(self._chance.uniform(0, GAP))

    def _bring_foreign(self) -> None:
        if self._lacks_foreign:
            self._lacks_foreign = not self._cluster.add_foreign()

    def _one(self, of: str) -> Service:
        leader = self._leader()
        if of == "manager" and leader and self._chance.random() < MOSTLY:
            return leader
        names = self._cluster.api_names if of == "api" else self._cluster.manager_names
        return self._cluster.services[self._chance.choice(names)]

    def _leader(self) -> Service | None:
        pid = pid_of(self._lease_watcher.mark)
        managers = (self._cluster.services[name] for name in self._cluster.manager_names)
        return next((each for each in managers if each.process and each.process.pid == pid), None)

    @contextmanager
    def kill(self, of: str) -> Iterator[None]:
        """Kill with SIGKILL, then start again."""
        service = self._one(of)
        if service is self._leader():
            well = all(fault.of != "redis" for fault in self._at_once)
            self._lease_watcher.kills.append(LeaderKill(time.time(), self._lease_watcher.mark, well))
        service.kill()
        yield
        service.launch()

    @contextmanager
    def end(self, of: str) -> Iterator[None]:
        """Ask a process to end, then start it again when it has ended."""
        service = self._one(of)
        process = service.process
        assert process is not None
        process.terminate()
        yield
        process.wait(MOST_FOR_AN_END)
        service.launch()

    @contextmanager
    def stop(self, of: str) -> Iterator[None]:
        """Stop a process with SIGSTOP, then continue it."""
        process = self._one(of).process
        assert process is not None
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)

    @contextmanager
    def kill_redis(self) -> Iterator[None]:
        self._cluster.redis.kill()
        yield
        self._cluster.redis.start()

    @contextmanager
    def stop_redis(self) -> Iterator[None]:
        self._cluster.redis.freeze()
        yield
        self._cluster.redis.thaw()

    @contextmanager
    def kill_vcenter(self, forgets: bool = False) -> Iterator[None]:
        """Kill with SIGKILL, then start again, with its VMs or without."""
        vcenter = self._cluster.vcenter
        vcenter.kill()
        yield
        if forgets:
            vcenter.memory.unlink(missing_ok=True)
            self.forgot.append(time.time())
        self._cluster.start_vcenter()
        if forgets:
            self._cluster.furnish()
            self._lacks_foreign = True

    @contextmanager
    def stop_vcenter(self) -> Iterator[None]:
        began = time.time()
        self._cluster.vcenter.signal(signal.SIGSTOP)
        yield
        self._cluster.vcenter.signal(signal.SIGCONT)
        self.held_up.append((began, time.time()))

    def _back_up(self) -> None:
        """Copy the files of Redis from time to time, in a world that puts them back."""
        if self._cluster.forgets and (not self._backups or time.time() - self._backups[-1][0] > BACKUPS):
            self._backups.append((time.time(), self._cluster.copy_of_redis()))

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Kill Redis, and start it with its contents of some seconds ago."""
        backups = [each for each in self._backups if time.time() - each[0] < OLDEST]
        since, copy = self._chance.choice(backups) if backups else (time.time(), self._cluster.copy_of_redis())
        yield
        self._cluster.redis.kill()
        self.lapses.append((since, time.time()))
        self._cluster.bring_back(copy)
        self._cluster.redis.start()

    @contextmanager
    def lose_last_second(self) -> Iterator[None]:
        """Kill Redis, and start it without the writes made while this fault held: they had not reached the disk."""
        since, copy = time.time(), self._cluster.copy_of_redis()
        yield
        self._cluster.redis.kill()
        self.lapses.append((since, time.time()))
        self._cluster.bring_back(copy)
        self._cluster.redis.start()

    @contextmanager
    def fill_disk(self, kill: bool) -> Iterator[None]:
        """Keep the files of Redis from growing: what it answers then is not on its disk. With ``kill`` Redis is killed
        in that state."""
        redis, since = self._cluster.redis, time.time()
        redis.limit()
        yield
        if kill:
            redis.kill()
            self.lapses.append((since, time.time()))
            redis.start()
        else:
            redis.limit(None)

    @contextmanager
    def step_clock(self, of: str) -> Iterator[None]:
        """Set the clock of a process permanently."""
        service = self._one(of)
        (name,) = (name for name, each in self._cluster.services.items() if each is service)
        self._cluster.clocks[name].set(self._chance.choice(STEPS))
        yield

    @contextmanager
    def reconfigure(self) -> Iterator[None]:
        """Stop and start every process, one after the other, with other pools."""
        others = [variant for variant in VARIANTS if variant != self._cluster.variant]
        self._cluster.reconfigure(self._chance.choice(others))
        yield

    @contextmanager
    def disturb(self, to: str, state: str) -> Iterator[None]:
        """Cut or stall the route of one process, or of all, to Redis or the vCenter."""
        routes = self._cluster.routes(to)
        if self._chance.random() < 0.6:
            routes = [self._chance.choice(routes)]
        began = time.time()
        for route in routes:
            self._cluster.proxy.become(route, state)
        yield
        for route in routes:
            self._cluster.proxy.become(route, "flow")
        if to == "vcenter" and state == "stall":
            self.held_up.append((began, time.time()))


@attrs.frozen
class Fault:
    """A fault. ``of``: what it affects; two of the same kind are not inflicted at once. ``hold``: minimum and maximum
    seconds that it holds."""

    of: str
    name: str
    hold: tuple[float, float]
    inflict: Callable[[FaultInjector], AbstractContextManager[None]]

    def __str__(self) -> str:
        return f"{self.of}: {self.name}"


FAULTS = [
    Fault("api", "killed", (0.2, 1), lambda injector: injector.kill("api")),
    Fault("api", "stopped", (0.5, 3), lambda injector: injector.stop("api")),
    Fault("manager", "killed", (0.2, 3), lambda injector: injector.kill("manager")),
    Fault("manager", "stopped", (1, 6), lambda injector: injector.stop("manager")),
    Fault("manager", "asked to end", (0.2, 1), lambda injector: injector.end("manager")),
    Fault("redis", "killed", (0.2, 1.5), FaultInjector.kill_redis),
    Fault("redis", "stopped", (0.3, 2.5), FaultInjector.stop_redis),
    Fault("redis", "cut", (0, 1.5), lambda injector: injector.disturb("redis", "cut")),
    Fault("redis", "stalled", (0.3, 3), lambda injector: injector.disturb("redis", "stall")),
    Fault("vcenter", "killed", (0.2, 2), FaultInjector.kill_vcenter),
    Fault("vcenter", "killed and forgetful", (0.2, 1), lambda injector: injector.kill_vcenter(forgets=True)),
    Fault("vcenter", "stopped", (0.3, 3), FaultInjector.stop_vcenter),
    Fault("vcenter", "cut", (0, 2), lambda injector: injector.disturb("vcenter", "cut")),
    Fault("vcenter", "stalled", (0.3, 4), lambda injector: injector.disturb("vcenter", "stall")),
]

BY_NAME = {str(fault): fault for fault in FAULTS}

LAPSES = [
    *(
        BY_NAME[name]
        for name in ("api: stopped", "manager: killed", "manager: stopped", "redis: stopped", "redis: cut")
    ),
    *(BY_NAME[name] for name in ("vcenter: cut", "vcenter: stalled")),
    *[Fault("redis", "put back", (0, 0.5), FaultInjector.put_back)] * OFTEN,
    Fault("redis", "killed without its last second", (0.5, 1.2), FaultInjector.lose_last_second),
    Fault("redis", "disk full", (0.5, 2), lambda injector: injector.fill_disk(kill=False)),
    Fault("redis", "disk full and killed", (0.5, 2), lambda injector: injector.fill_disk(kill=True)),
]
"""For a Redis that loses writes. No API ends: what only the API knows would be lost with it."""

CLOCKS = [
    *FAULTS,
    *[Fault("clock of api", "set", (0, 1), lambda injector: injector.step_clock("api"))] * OFTEN,
    *[Fault("clock of manager", "set", (0, 1), lambda injector: injector.step_clock("manager"))] * OFTEN,
]

CONFIGURATIONS = [
    *(each for each in FAULTS if each.of not in ("api", "manager")),
    *[Fault("processes", "other pools", (0, 2), FaultInjector.reconfigure)] * OFTEN,
]
"""For pools that come and go: only the change of the configuration restarts the processes."""
