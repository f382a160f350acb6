"""Which VM was given to which client, according to the client's responses and to the events."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import attrs

from tests.verification.chaos.history import Operation, Verb
from tests.verification.chaos.story import Story, moment
from vmpooler.domain.events import Event, What


@attrs.frozen
class CheckoutClaim:
    """A client received a response that it has a VM. ``since`` is when Redis gave it; ``found``: whether an event
    reports it."""

    client: int
    operation: int
    vm: str
    since: float
    checkout_id: str
    found: bool


def claims_of(operations: Sequence[Operation], story: Story, spread: float) -> list[CheckoutClaim]:
    """Return the claims of all operations."""
    found = []
    for number, operation in enumerate(operations):
        for vm in operation.given:
            begin, end = operation.began - spread, operation.ended + spread
            ours = [event for event in story.happened(vm, What.CHECKOUT) if begin <= moment(event) <= end]
            since = moment(ours[-1]) if ours else operation.began
            id = ours[-1].more["checkout_id"] if ours else ""
            found.append(CheckoutClaim(operation.client, number, vm, since, id, bool(ours)))
    return found


def unclaimed(
    events: Sequence[Event],
    claims: Sequence[CheckoutClaim],
    operations: Sequence[Operation],
    names: Mapping[str, tuple[str, ...]],
) -> Iterator[str]:
    """Yield the checkouts that no request explains. No response named them, and no request of unknown outcome fits
    them."""
    claimed = {claim.checkout_id for claim in claims}
    taken: dict[str, list[Event]] = {}
    for event in events:
        if event.what is What.CHECKOUT and event.more["checkout_id"] not in claimed:
            taken.setdefault(event.more["checkout_id"], []).append(event)
    open_ = [each for each in operations if each.verb is Verb.CHECKOUT and each.unknown]
    for of in sorted(taken.values(), key=lambda of: of[0].id):
        fitting = [each for each in open_ if each.began <= moment(of[0]) + 0.01 and _fits(each, of, names)]
        if fitting:
            # Take the one that ended first: a request may be carried out long after its client gave up.
            open_.remove(min(fitting, key=lambda each: each.ended))
        else:
            yield f"{', '.join(event.vm for event in of)}: taken at {moment(of[0]):.3f} by no request"


def _fits(asked: Operation, taken: Sequence[Event], names: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether a request may have taken these VMs: the same number, from the pools that it asked for."""
    pools = Counter(event.pool for event in taken)
    may = {pool for name in asked.wanted for pool in names[name]}
    return pools.total() == sum(asked.wanted.values()) and pools.keys() <= may
