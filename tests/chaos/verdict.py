"""What the judge goes by, and what it comes to."""

from collections.abc import Callable, Mapping

import attrs

from tests.chaos.claims import Claim
from tests.chaos.evidence import Evidence
from tests.chaos.story import Story, moment

SPREAD = 0.01
"""Seconds by which two clocks of one machine may differ, cut off as each is."""


@attrs.frozen
class Rules:
    """What the run was set up with: sizes of pools, what each name that clients ask for means, how many clones may be
    under way, hours that a VM lives, seconds that filling up again may take, VMs that are not the service's."""

    sizes: Mapping[str, int]
    names: Mapping[str, tuple[str, ...]]
    task_limit: int
    lifetime: float
    settles: float
    foreign: frozenset[str]


@attrs.frozen
class Case:
    """The evidence, and what follows from it at once."""

    evidence: Evidence
    rules: Rules
    story: Story
    claims: list[Claim]

    def lost(self, vm: str, until: float = float("inf")) -> bool:
        """Whether the vCenter lost the VM before then."""
        made = [moment(event) for event in self.story.of.get(vm, ())[:1]]
        return bool(made) and any(made[0] <= forgot <= until for forgot in self.evidence.forgot)


@attrs.define
class Verdict:
    """What became of one invariant."""

    checks: int = 0
    violations: list[str] = attrs.field(factory=list)

    def hold(self, good: bool, told: Callable[[], str] | str) -> None:
        """Check one thing; ``told`` says what is wrong otherwise."""
        self.checks += 1
        if not good:
            self.violations.append(told if isinstance(told, str) else told())


Check = Callable[[Case, Verdict], None]
