"""What is done to the processes: each torment begins, holds for a while, and is over."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import attrs

from tests.chaos.reign import Fall, Reign, pid_of
from tests.chaos.stage import Stage
from tests.service.process import Service

GAP = 1.5
"""Seconds without any torment, at the most, between two."""

MOSTLY = 0.8
"""How often, of once, the manager is the one that leads."""

MOST_FOR_AN_END = 40.0
"""Seconds in which a process that is asked to end has ended."""


class Tormentor:
    """Goes through all torments in an order of chance, again and again, often two at once. A manager is mostly the one
    that leads, by ``reign``.

    ``counts`` has how often it did what; ``forgot`` when (epoch) the vCenter lost all its VMs.
    """

    def __init__(self, stage: Stage, reign: Reign, chance: random.Random) -> None:
        self._stage, self._reign, self._chance = stage, reign, chance
        self._at_once: list[Torment] = []
        self.counts: Counter[str] = Counter()
        self.forgot: list[float] = []
        self._lacks_foreign = False

    def run(self, until: float, told: Callable[[], None]) -> None:
        """Torment until then (monotonic seconds), and until each was made. ``told`` is called after each."""
        deck: list[Torment] = []
        while time.monotonic() < until or len(self.counts) < len(TORMENTS):
            deck = deck or self._chance.sample(TORMENTS, len(TORMENTS))
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
            told()
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
        """kill -9, and start anew."""
        service = self._one(of)
        if service is self._leader():
            well = all(torment.of != "redis" for torment in self._at_once)
            self._reign.falls.append(Fall(time.time(), self._reign.mark, well))
        service.kill()
        yield
        service.launch()

    @contextmanager
    def end(self, of: str) -> Iterator[None]:
        """Ask it to end, and start it anew when it has."""
        service = self._one(of)
        process = service.process
        assert process is not None
        process.terminate()
        yield
        process.wait(MOST_FOR_AN_END)
        service.launch()

    @contextmanager
    def stop(self, of: str) -> Iterator[None]:
        """Let it hang."""
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
        """kill -9, and start anew, with its VMs or without."""
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
        self._stage.vcenter.signal(signal.SIGSTOP)
        yield
        self._stage.vcenter.signal(signal.SIGCONT)

    @contextmanager
    def disturb(self, to: str, state: str) -> Iterator[None]:
        """Cut or stall the way of one process to Redis or the vCenter, or of all."""
        routes = self._stage.routes(to)
        if self._chance.random() < 0.6:
            routes = [self._chance.choice(routes)]
        for route in routes:
            self._stage.proxy.become(route, state)
        yield
        for route in routes:
            self._stage.proxy.become(route, "flow")


@attrs.frozen
class Torment:
    """``of`` whom it is: two of the same are not made at once. It holds for so many seconds, from and to."""

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
