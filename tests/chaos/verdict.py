"""What the judge goes by, and what it comes to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import attrs

from tests.chaos.claims import Claim, claims_of
from tests.chaos.evidence import Evidence
from tests.chaos.history import Operation
from tests.chaos.story import Story, moment, story_of
from vmpooler.domain.events import Event, What

SPREAD = 0.01
"""Seconds by which two clocks of one machine may differ, cut off as each is."""


@attrs.frozen
class Rules:
    """What the run was set up with: sizes of pools, what each name that clients ask for means, how many clones may be
    under way, hours that a VM lives, seconds that filling up again may take, VMs that are not the service's.
    ``changing`` are pools that come and go: at the end the first of them is there."""

    sizes: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    task_limit: int
    lifetime: float
    settles: float
    foreign: frozenset[str]
    changing: frozenset[str] = frozenset()

    @property
    def last(self) -> Mapping[str, int]:
        """The sizes of the pools that are there at the end."""
        absent = sorted(self.changing)[1:]
        return {pool: size for pool, size in self.sizes.items() if pool not in absent}


@attrs.frozen
class Case:
    """The evidence, and what follows from it at once."""

    evidence: Evidence
    rules: Rules
    story: Story
    claims: list[Claim]
    asked: Mapping[str, list[Operation]]

    @classmethod
    def of(cls, evidence: Evidence, rules: Rules) -> Self:
        """The case that evidence makes."""
        story = story_of(evidence.events, (sample.last for sample in evidence.samples), rules.sizes)
        asked: dict[str, list[Operation]] = {}
        for operation in evidence.operations:
            asked.setdefault(operation.vm, []).append(operation)
        return cls(evidence, rules, story, claims_of(evidence.operations, story, SPREAD), asked)

    def asked_of(self, vm: str) -> Sequence[Operation]:
        """What clients asked to be done to a VM."""
        return self.asked.get(vm, ())

    def after(self, claim: Claim) -> Sequence[Event]:
        """What happened to a VM after it was given to a client, in Redis's order: a moment may have many events."""
        events = self.story.of.get(claim.vm, [])
        for number, event in enumerate(events):
            if event.what is What.CHECKOUT and event.more["checkout_id"] == claim.checkout_id:
                return events[number + 1 :]
        return [event for event in events if moment(event) >= claim.since]

    def record(self, vm: str) -> Mapping[str, str]:
        """What Redis has of a VM at the end."""
        return self.evidence.records.get(vm, {})

    def lost(self, vm: str, until: float = float("inf")) -> bool:
        """Whether the vCenter lost the VM before then."""
        made = [moment(event) for event in self.story.of.get(vm, ())[:1]]
        return bool(made) and any(made[0] <= forgot <= until for forgot in self.evidence.forgot)


@attrs.define
class Verdict:
    """What became of one invariant."""

    checks: int = 0
    violations: list[str] = attrs.field(factory=list)

    def hold(self, good: bool, told: str) -> None:
        """Check one thing; ``told`` says what is wrong otherwise."""
        self.checks += 1
        if not good:
            self.violations.append(told)


Check = Callable[[Case, Verdict], None]
