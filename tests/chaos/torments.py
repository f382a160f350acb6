"""The faults: each torment starts, holds for a while, and ends."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import attrs

from tests.chaos.reign import Fall, Reign, pid_of
from tests.chaos.stage import VARIANTS, Stage
from tests.service.process import Service

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


class Tormentor:
    """Inflicts all ``torments`` in random order, again and again, often two at once. A manager fault mostly hits the
    leader, which ``reign`` names.

    ``counts`` counts each fault; ``forgot``: when (epoch) the vCenter lost all its VMs; ``held_up``: periods (from, to)
    in which orders to it may have been delayed; ``lapses``: periods (from, to) whose writes Redis lost.
    """

    def __init__(self, stage: Stage, reign: Reign, chance: random.Random, torments: "Sequence[Torment]") -> None:
        self._stage, self._reign, self._chance = stage, reign, chance
        self._at_once: list[Torment] = []
        self.counts: Counter[str] = Counter()
        self.forgot: list[float] = []
        self.held_up: list[tuple[float, float]] = []
        self.lapses: list[tuple[float, float]] = []
        self._torments = torments
        self._backups: list[tuple[float, Path]] = []
        self._lacks_foreign = False

    def run(self, until: float, on_fault: Callable[[], None]) -> None:
        """Inflict faults until ``until`` (monotonic seconds), and until each was inflicted.

        ``on_fault`` is called after each of them.
        """
        deck: list[Torment] = []
        names = {str(torment) for torment in self._torments}
        while time.monotonic() < until or self.counts.keys() != names:
            deck = deck or self._chance.sample(self._torments, len(self._torments))
            both = [deck.pop()]
            if deck and deck[-1].of != both[0].of and self._chance.random() < 0.6:
                both.append(deck.pop())
            self._at_once = both
            hold = max(self._chance.uniform(*torment.hold) for torment in both)
            with ExitStack() as ends:
                for torment in both:
                    self.counts[str(torment)] += 1
                    ends.enter_context(torment.inflict(self))
                    time.sleep(self._chance.uniform(0, 0.3))
                time.sleep(hold)
            self._bring_foreign()
            self._back_up()
            on_fault()
            time.sleep(self._chance.uniform(0, GAP))

    def _bring_foreign(self) -> None:
        if self._lacks_foreign:
            self._lacks_foreign = not self._stage.add_foreign()

    def _one(self, of: str) -> Service:
        leader = self._leader()
        if of == "manager" and leader and self._chance.random() < MOSTLY:
            return leader
        names = self._stage.api_names if of == "api" else self._stage.manager_names
        return self._stage.services[self._chance.choice(names)]

    def _leader(self) -> Service | None:
        pid = pid_of(self._reign.mark)
        managers = (self._stage.services[name] for name in self._stage.manager_names)
        return next((each for each in managers if each.process and each.process.pid == pid), None)

    @contextmanager
    def kill(self, of: str) -> Iterator[None]:
        """Kill with SIGKILL, then start again."""
        service = self._one(of)
        if service is self._leader():
            well = all(torment.of != "redis" for torment in self._at_once)
            self._reign.falls.append(Fall(time.time(), self._reign.mark, well))
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
        self._stage.redis.kill()
        yield
        self._stage.redis.start()

    @contextmanager
    def stop_redis(self) -> Iterator[None]:
        self._stage.redis.freeze()
        yield
        self._stage.redis.thaw()

    @contextmanager
    def kill_vcenter(self, forgets: bool = False) -> Iterator[None]:
        """Kill with SIGKILL, then start again, with its VMs or without."""
        vcenter = self._stage.vcenter
        vcenter.kill()
        yield
        if forgets:
            vcenter.memory.unlink(missing_ok=True)
            self.forgot.append(time.time())
        self._stage.start_vcenter()
        if forgets:
            self._stage.furnish()
            self._lacks_foreign = True

    @contextmanager
    def stop_vcenter(self) -> Iterator[None]:
        began = time.time()
        self._stage.vcenter.signal(signal.SIGSTOP)
        yield
        self._stage.vcenter.signal(signal.SIGCONT)
        self.held_up.append((began, time.time()))

    def _back_up(self) -> None:
        """Copy the files of Redis from time to time, in a world that puts them back."""
        if self._stage.forgets and (not self._backups or time.time() - self._backups[-1][0] > BACKUPS):
            self._backups.append((time.time(), self._stage.copy_of_redis()))

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """Kill Redis, and start it with its contents of some seconds ago."""
        backups = [each for each in self._backups if time.time() - each[0] < OLDEST]
        since, copy = self._chance.choice(backups) if backups else (time.time(), self._stage.copy_of_redis())
        yield
        self._stage.redis.kill()
        self.lapses.append((since, time.time()))
        self._stage.bring_back(copy)
        self._stage.redis.start()

    @contextmanager
    def lose_last_second(self) -> Iterator[None]:
        """Kill Redis, and start it without the writes made while this fault held: they had not reached the disk."""
        since, copy = time.time(), self._stage.copy_of_redis()
        yield
        self._stage.redis.kill()
        self.lapses.append((since, time.time()))
        self._stage.bring_back(copy)
        self._stage.redis.start()

    @contextmanager
    def fill_disk(self, kill: bool) -> Iterator[None]:
        """Keep the files of Redis from growing: what it answers then is not on its disk. With ``kill`` Redis is killed
        in that state."""
        redis, since = self._stage.redis, time.time()
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
        (name,) = (name for name, each in self._stage.services.items() if each is service)
        self._stage.clocks[name].set(self._chance.choice(STEPS))
        yield

    @contextmanager
    def reconfigure(self) -> Iterator[None]:
        """Stop and start every process, one after the other, with other pools."""
        others = [variant for variant in VARIANTS if variant != self._stage.variant]
        self._stage.reconfigure(self._chance.choice(others))
        yield

    @contextmanager
    def disturb(self, to: str, state: str) -> Iterator[None]:
        """Cut or stall the route of one process, or of all, to Redis or the vCenter."""
        routes = self._stage.routes(to)
        if self._chance.random() < 0.6:
            routes = [self._chance.choice(routes)]
        began = time.time()
        for route in routes:
            self._stage.proxy.become(route, state)
        yield
        for route in routes:
            self._stage.proxy.become(route, "flow")
        if to == "vcenter" and state == "stall":
            self.held_up.append((began, time.time()))


@attrs.frozen
class Torment:
    """A fault. ``of``: what it affects; two of the same kind are not inflicted at once. ``hold``: minimum and maximum
    seconds that it holds."""

    of: str
    name: str
    hold: tuple[float, float]
    inflict: Callable[[Tormentor], AbstractContextManager[None]]

    def __str__(self) -> str:
        return f"{self.of}: {self.name}"


TORMENTS = [
    Torment("api", "killed", (0.2, 1), lambda tormentor: tormentor.kill("api")),
    Torment("api", "stopped", (0.5, 3), lambda tormentor: tormentor.stop("api")),
    Torment("manager", "killed", (0.2, 3), lambda tormentor: tormentor.kill("manager")),
    Torment("manager", "stopped", (1, 6), lambda tormentor: tormentor.stop("manager")),
    Torment("manager", "asked to end", (0.2, 1), lambda tormentor: tormentor.end("manager")),
    Torment("redis", "killed", (0.2, 1.5), Tormentor.kill_redis),
    Torment("redis", "stopped", (0.3, 2.5), Tormentor.stop_redis),
    Torment("redis", "cut", (0, 1.5), lambda tormentor: tormentor.disturb("redis", "cut")),
    Torment("redis", "stalled", (0.3, 3), lambda tormentor: tormentor.disturb("redis", "stall")),
    Torment("vcenter", "killed", (0.2, 2), Tormentor.kill_vcenter),
    Torment("vcenter", "killed and forgetful", (0.2, 1), lambda tormentor: tormentor.kill_vcenter(forgets=True)),
    Torment("vcenter", "stopped", (0.3, 3), Tormentor.stop_vcenter),
    Torment("vcenter", "cut", (0, 2), lambda tormentor: tormentor.disturb("vcenter", "cut")),
    Torment("vcenter", "stalled", (0.3, 4), lambda tormentor: tormentor.disturb("vcenter", "stall")),
]

BY_NAME = {str(torment): torment for torment in TORMENTS}

LAPSES = [
    *(
        BY_NAME[name]
        for name in ("api: stopped", "manager: killed", "manager: stopped", "redis: stopped", "redis: cut")
    ),
    *(BY_NAME[name] for name in ("vcenter: cut", "vcenter: stalled")),
    *[Torment("redis", "put back", (0, 0.5), Tormentor.put_back)] * OFTEN,
    Torment("redis", "killed without its last second", (0.5, 1.2), Tormentor.lose_last_second),
    Torment("redis", "disk full", (0.5, 2), lambda tormentor: tormentor.fill_disk(kill=False)),
    Torment("redis", "disk full and killed", (0.5, 2), lambda tormentor: tormentor.fill_disk(kill=True)),
]
"""For a Redis that loses writes. No API ends: what only the API knows would be lost with it."""

CLOCKS = [
    *TORMENTS,
    *[Torment("clock of api", "set", (0, 1), lambda tormentor: tormentor.step_clock("api"))] * OFTEN,
    *[Torment("clock of manager", "set", (0, 1), lambda tormentor: tormentor.step_clock("manager"))] * OFTEN,
]

CONFIGURATIONS = [
    *(each for each in TORMENTS if each.of not in ("api", "manager")),
    *[Torment("processes", "other pools", (0, 2), Tormentor.reconfigure)] * OFTEN,
]
"""For pools that come and go: only the change of the configuration restarts the processes."""
