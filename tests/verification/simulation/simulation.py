"""State that all parts of a schedule share: randomness, time, the steps that may be taken next, and the trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, Protocol

import attrs

from tests.verification.proof.invariants import Tally
from tests.verification.simulation.clock import Time
from tests.verification.simulation.world import PLAIN, SimulationWorld
from vmpooler.settings import Settings

DIGITS = "123456789"

SLOW = (5, 60)
"""Minimum and maximum number of steps that pass before a slow message can arrive."""


class Step(Protocol):
    """Something that can happen next."""

    @property
    def ready(self) -> bool:
        """Whether it can happen now."""

    def take(self) -> None:
        """Let it happen."""


@attrs.frozen
class Entry:
    """A step that was taken: when, by which process, what it was, and its outcome."""

    when: float
    who: str
    what: str
    detail: Any
    outcome: Any = None


@attrs.define
class Simulation:
    """One schedule.

    ``calm``: faults have stopped. ``ahead``: seconds by which Redis's clock is ahead of true time. ``steps_of_redis``:
    when Redis's clock was set, and by how much. ``busy_until``: until when clients send more requests. ``sent``: when
    the command that arrives now was sent, by Redis's clock; ``measured``: when its process had last measured that
    clock. ``away``: the providers that fail every call.
    """

    settings: Settings
    chance: Random
    faults: Faults
    time: Time = attrs.field(factory=Time)
    tally: Tally = attrs.field(factory=Tally)
    counts: Counter[str] = attrs.field(factory=Counter)
    trace: list[Entry] = attrs.field(factory=list)
    steps: list[Step] = attrs.field(factory=list)
    calm: bool = False
    world: SimulationWorld = PLAIN
    ahead: float = 0.0
    busy_until: float = 0.0
    sent: float = 0.0
    measured: float = 0.0
    steps_of_redis: list[tuple[float, float]] = attrs.field(factory=list)
    away: set[str] = attrs.field(factory=set)

    @property
    def redis_now(self) -> float:
        """The current moment by Redis's clock."""
        return self.time.now + self.ahead

    def note(self, who: str, what: str, detail: Any = "", outcome: Any = None) -> None:
        """Write a step into the trace."""
        self.trace.append(Entry(self.time.now, who, what, detail, outcome))

    def strikes(self, percent: float, fault: str) -> bool:
        """Whether a fault happens now, with this probability in percent while faults happen. It is counted."""
        struck = not self.calm and self.chance.random() * 100 < percent
        if struck:
            self.counts[f"fault: {fault}"] += 1
        return struck

    def held_back(self) -> int:
        """Return the step count from which a sent message may arrive. It is higher if the message is slow."""
        taken = self.counts["steps"]
        return taken + self.chance.randint(*SLOW) if self.strikes(self.faults.slow, "slow message") else taken

    def choice(self, text: str) -> str:
        """Return a character for a name: always a digit, see ``redis.py``."""
        return DIGITS[int(self.chance.random() * 9)]

    def drop(self, unwanted: Callable[[Step], bool]) -> list[Step]:
        """Remove steps that will never be taken. Returns them."""
        dropped = [step for step in self.steps if unwanted(step)]
        self.steps = [step for step in self.steps if not unwanted(step)]
        return dropped


@attrs.frozen
class Faults:
    """Probabilities of the faults, in percent.

    Per step of the scheduler: ``crash``, ``leave`` (a manager ends in good order), ``freeze``, ``cut`` (a process from
    Redis), ``vanish``, ``meddle`` (with a VM), ``plant`` (a VM that the service did not make), ``outage`` (of the
    provider), ``leap`` (of time). Per call to the provider: ``refuse``, ``lose`` (the reply), ``deaf`` (a guest that is
    probed). Per message to or from Redis: ``slow``. Per request: ``hang_up``, before its response arrives.
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
