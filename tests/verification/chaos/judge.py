"""Checks the evidence against the invariants: each has its checks, which are counted, and reports its violations."""

from collections.abc import Mapping

from tests.verification.chaos.evidence import Evidence
from tests.verification.chaos.of_answers import (
    disks,
    durable,
    nothing_by_refusals,
    refusals,
    refused_changed_nothing,
    reverts,
)
from tests.verification.chaos.of_books import clones, consistent, full_again, recorded
from tests.verification.chaos.of_lapses import (
    answered_since,
    never_destroyed,
    never_twice,
    no_defect,
    nothing_unknown,
    one_place,
)
from tests.verification.chaos.of_vms import accounted, given_once, kept, one_queue
from tests.verification.chaos.verdict import Analysis, Check, RunRules, Verdict
from tests.verification.proof.invariants import (
    ACCOUNTED,
    DURABLE,
    FULL_AGAIN,
    NOT_REFUSED,
    ONE_CLIENT,
    ONE_EVENT,
    ONE_QUEUE,
    WITHIN_LIMITS,
    Invariant,
)

CHECKS: Mapping[Invariant, tuple[Check, ...]] = {
    ONE_QUEUE: (one_queue,),
    ONE_CLIENT: (given_once, kept),
    ACCOUNTED: (accounted,),
    WITHIN_LIMITS: (clones,),
    DURABLE: (durable, disks, reverts, nothing_by_refusals, refused_changed_nothing),
    NOT_REFUSED: (refusals,),
    ONE_EVENT: (consistent, recorded),
    FULL_AGAIN: (full_again,),
}
"""The checks of each invariant."""


AFTER_LAPSES: Mapping[Invariant, tuple[Check, ...]] = {
    ONE_QUEUE: (one_place,),
    ONE_CLIENT: (never_twice, never_destroyed),
    ACCOUNTED: (nothing_unknown,),
    DURABLE: (answered_since, no_defect),
    FULL_AGAIN: (full_again,),
}
"""The checks that still hold when Redis lost writes: VMs given to clients stay theirs, whatever the events contain."""


def judged(
    evidence: Evidence, rules: RunRules, every: Mapping[Invariant, tuple[Check, ...]] = CHECKS
) -> dict[Invariant, Verdict]:
    """Return the verdict on each invariant, by these checks."""
    case = Analysis.of(evidence, rules)
    verdicts = {invariant: Verdict() for invariant in every}
    for invariant, checks in every.items():
        for check in checks:
            check(case, verdicts[invariant])
    return verdicts
