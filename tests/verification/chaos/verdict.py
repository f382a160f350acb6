"""The input of the checks, and their results."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import attrs

from tests.verification.chaos.claims import CheckoutClaim, claims_of
from tests.verification.chaos.evidence import Evidence
from tests.verification.chaos.history import Operation
from tests.verification.chaos.story import Story, moment, story_of
from vmpooler.domain.events import Event, What

SPREAD = 0.01
"""Maximum seconds by which two clocks of one machine may differ, since each is truncated."""


@attrs.frozen
class RunRules:
    """The setup of a run.

    The sizes of pools, the pools that each name stands for, the maximum number of clones in flight, the hours that a VM
    lives, the seconds that refilling may take, and the VMs that the service did not make. ``changing`` are pools that
    come and go: at the end the first of them exists.
    """

    sizes: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    task_limit: int
    lifetime: float
    settles: float
    foreign: frozenset[str]
    changing: frozenset[str] = frozenset()

    @property
    def last(self) -> Mapping[str, int]:
        """The sizes of the pools that exist at the end."""
        absent = sorted(self.changing)[1:]
        return {pool: size for pool, size in self.sizes.items() if pool not in absent}


@attrs.frozen
class Analysis:
    """The evidence, and what is derived from it."""

    evidence: Evidence
    rules: RunRules
    story: Story
    claims: list[CheckoutClaim]
    asked: Mapping[str, list[Operation]]

    @classmethod
    def of(cls, evidence: Evidence, rules: RunRules) -> Self:
        """Derive the case from the evidence."""
        story = story_of(evidence.events, (sample.last for sample in evidence.samples), rules.sizes)
        asked: dict[str, list[Operation]] = {}
        for operation in evidence.operations:
            asked.setdefault(operation.vm, []).append(operation)
        return cls(evidence, rules, story, claims_of(evidence.operations, story, SPREAD), asked)

    def asked_of(self, vm: str) -> Sequence[Operation]:
        """Return the requests for a VM."""
        return self.asked.get(vm, ())

    def after(self, claim: CheckoutClaim) -> Sequence[Event]:
        """Return the events of a VM after it was given to a client, in Redis's order: a moment may have many events."""
        events = self.story.of.get(claim.vm, [])
        for number, event in enumerate(events):
            if event.what is What.CHECKOUT and event.more["checkout_id"] == claim.checkout_id:
                return events[number + 1 :]
        return [event for event in events if moment(event) >= claim.since]

    def record(self, vm: str) -> Mapping[str, str]:
        """Return the record of a VM at the end."""
        return self.evidence.records.get(vm, {})

    def lost(self, vm: str, until: float = float("inf")) -> bool:
        """Whether the vCenter lost the VM before ``until``."""
        made = [moment(event) for event in self.story.of.get(vm, ())[:1]]
        return bool(made) and any(made[0] <= forgot <= until for forgot in self.evidence.forgot)


@attrs.define
class Verdict:
    """The result for one invariant."""

    checks: int = 0
    violations: list[str] = attrs.field(factory=list)

    def hold(self, good: bool, finding: str) -> None:
        """Count one check. If it fails, ``finding`` is recorded as a violation."""
        self.checks += 1
        if not good:
            self.violations.append(finding)


Check = Callable[[Analysis, Verdict], None]
