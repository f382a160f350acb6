"""The eight invariants, which hold whatever crashes, hangs or overlaps, and a tally of their checks."""

from collections import Counter
from collections.abc import Callable

import attrs


@attrs.frozen
class Invariant:
    """A property that always holds."""

    number: int
    title: str
    meaning: str

    def __str__(self) -> str:
        return f"{self.number}. {self.title}"


ONE_QUEUE = Invariant(
    1, "One queue", "A VM stands in exactly one queue from the moment its clone is ordered until it is forgotten."
)
ONE_CLIENT = Invariant(
    2,
    "One client",
    "A VM given to a client is given to nobody else, and is not completed before its lifetime ends or its client "
    "deletes it; also where Redis lost that, once the VM carries its client's stamp.",
)
ACCOUNTED = Invariant(
    3,
    "All accounted for",
    "What the provider lists of ours is in a queue, in flight, or noted by the next round of its pool; what is ours "
    "and unknown is destroyed after the grace unless somebody has it or the mass guard holds it; nothing foreign is "
    "ever destroyed.",
)
WITHIN_LIMITS = Invariant(
    4,
    "Within limits",
    "No clone is ordered while pending + ready is at size or above, ready VMs that are missing left out; clones in "
    "flight never exceed task_limit, those left out whose provider is away.",
)
DURABLE = Invariant(
    5,
    "Answers are durable",
    "After an answer of 2xx and any crash of ours the VM is the client's, the tag is stored, the disk is on its way. A "
    "refusal changed nothing.",
)
NOT_REFUSED = Invariant(6, "Nobody refused in vain", "No request is refused while enough matching VMs are ready.")
ONE_EVENT = Invariant(
    7,
    "One event each",
    "Every transition has exactly one event; the events of a VM, replayed, give its record, while its history holds "
    "them.",
)
FULL_AGAIN = Invariant(
    8,
    "Full again",
    "When faults stop, every pool is at size again within the time that its clones need, without help.",
)

INVARIANTS = (ONE_QUEUE, ONE_CLIENT, ACCOUNTED, WITHIN_LIMITS, DURABLE, NOT_REFUSED, ONE_EVENT, FULL_AGAIN)


class Violation(AssertionError):
    """An invariant does not hold. The text describes where."""

    def __init__(self, invariant: Invariant, finding: str) -> None:
        self.invariant = invariant
        super().__init__(f"invariant {invariant}: {finding}")


@attrs.frozen
class Tally:
    """Counts checks by the number of their invariant."""

    checks: Counter[int] = attrs.field(factory=Counter)

    def hold(self, invariant: Invariant, holds: bool, describe: Callable[[], str]) -> None:
        """Count one check. Raises Violation with the text of ``describe`` if it fails."""
        self.checks[invariant.number] += 1
        if not holds:
            raise Violation(invariant, describe())
