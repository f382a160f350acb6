"""What all parts of a schedule share: chance, time, the steps that may be taken next, and the trace of those taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import attrs

from tests.proof.invariants import Tally
from tests.simulation.clock import Time
from tests.simulation.world import PLAIN, World
from vmpooler.settings import Settings

DIGITS = "123456789"

SLOW = (5, 60)
"""How many steps a slow message lets others go before at the least and at the most."""


class Step(Protocol):
    """Something that can happen next."""

    @property
    def ready(self) -> bool:
        """Whether it can happen now."""

    def take(self) -> None:
        """Have it happen."""


@attrs.frozen
class Entry:
    """A step that was taken: when, who took it, what it was and what came of it."""

    when: float
    who: str
    what: str
    detail: Any
    outcome: Any = None


@attrs.define
class Stage:
    """One schedule. ``calm``: no faults any more. ``ahead``: seconds by which Redis's clock is ahead of true time.
    ``steps_of_redis``: when that was set, and by how much. ``busy_until``: when clients ask less again.
    ``sent``: when the command was sent that arrives now, by Redis's clock; ``measured``: when its process had measured
    that clock last. ``away``: the providers that fail every
    call."""

    settings: Settings
    chance: Random
    faults: Faults
    time: Time = attrs.field(factory=Time)
    tally: Tally = attrs.field(factory=Tally)
    counts: Counter[str] = attrs.field(factory=Counter)
    trace: list[Entry] = attrs.field(factory=list)
    steps: list[Step] = attrs.field(factory=list)
    calm: bool = False
    world: World = PLAIN
    ahead: float = 0.0
    busy_until: float = 0.0
    sent: float = 0.0
    measured: float = 0.0
    steps_of_redis: list[tuple[float, float]] = attrs.field(factory=list)
    away: set[str] = attrs.field(factory=set)

    @property
    def redis_now(self) -> float:
        """The moment by Redis's clock."""
        return self.time.now + self.ahead

    def note(self, who: str, what: str, detail: Any = "", outcome: Any = None) -> None:
        """Something happened."""
        self.trace.append(Entry(self.time.now, who, what, detail, outcome))

    def strikes(self, percent: float, fault: str) -> bool:
        """Whether a fault happens now, in so many cases of a hundred while faults go on; it is counted."""
        struck = not self.calm and self.chance.random() * 100 < percent
        if struck:
            self.counts[f"fault: {fault}"] += 1
        return struck

    def held_back(self) -> int:
        """The step from which on something that was sent may arrive: a later one where it is slow."""
        taken = self.counts["steps"]
        return taken + self.chance.randint(*SLOW) if self.strikes(self.faults.slow, "slow message") else taken

    def choice(self, text: str) -> str:
        """A character of a name: always a digit, see ``redis.py``."""
        return DIGITS[int(self.chance.random() * 9)]

    def drop(self, unwanted: Callable[[Step], bool]) -> list[Step]:
        """Take away steps that will never be taken."""
        dropped = [step for step in self.steps if unwanted(step)]
        self.steps = [step for step in self.steps if not unwanted(step)]
        return dropped


@attrs.frozen
class Faults:
    """How often what goes wrong, in percent.

    Of each step of the scheduler: ``crash``, ``leave`` (a manager ends in good order), ``freeze``, ``cut`` (a process
    from Redis), ``vanish``, ``meddle`` (with a VM), ``plant`` (a VM of somebody else), ``outage`` (of the provider),
    ``leap`` (of time). Of each call to the provider: ``refuse``, ``lose`` (the answer), ``deaf`` (a guest that is
    probed). Of each message to or from Redis: ``slow``. Of each request: ``hang_up``, before its answer comes.
    """

    crash: float = 0
    freeze: float = 0
    cut: float = 0
    vanish: float = 0
    meddle: float = 0
    plant: float = 0
    outage: float = 0
    leap: float = 0
    refuse: float = 0
    lose: float = 0
    deaf: float = 0
    hang_up: float = 0
    slow: float = 0
    leave: float = 0
