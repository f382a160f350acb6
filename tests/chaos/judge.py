"""The evidence held against the invariants: each has its checks, which are counted, and tells its violations."""

from collections.abc import Mapping

from tests.chaos.evidence import Evidence
from tests.chaos.of_answers import disks, durable, nothing_by_refusals, refusals
from tests.chaos.of_books import clones, full_again, recorded, told_once
from tests.chaos.of_vms import accounted, given_once, kept, one_queue
from tests.chaos.verdict import Case, Check, Rules, Verdict
from tests.proof.invariants import (
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
    DURABLE: (durable, disks, nothing_by_refusals),
    NOT_REFUSED: (refusals,),
    ONE_EVENT: (told_once, recorded),
    FULL_AGAIN: (full_again,),
}
"""The checks of each invariant."""


def judged(evidence: Evidence, rules: Rules) -> dict[Invariant, Verdict]:
    """The verdict on each invariant."""
    case = Case.of(evidence, rules)
    verdicts = {invariant: Verdict() for invariant in CHECKS}
    for invariant, checks in CHECKS.items():
        for check in checks:
            check(case, verdicts[invariant])
    return verdicts
