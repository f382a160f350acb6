"""The checks of where VMs are: in which queue, with which client, at the provider."""

from collections import Counter

from tests.verification.chaos.claims import CheckoutClaim
from tests.verification.chaos.history import Verb
from tests.verification.chaos.story import RELEASES, moment
from tests.verification.chaos.verdict import SPREAD, Analysis, Verdict
from vmpooler.domain.events import What
from vmpooler.domain.model import Queue

BY_CLIENT = "its client is done with it"
OVER = "reached end of TTL"
NOWHERE = "is nowhere to be found"
"""The reasons for which a running VM may be completed."""


def one_queue(case: Analysis, verdict: Verdict) -> None:
    """Check that each VM of each sample stands in one queue, and that the VMs known from events stand in some queue."""
    for sample in case.evidence.samples:
        places = sample.places()
        for vm, queues in places.items():
            verdict.hold(len(queues) == 1, f"{vm} stands in {' and '.join(queues)} at {sample.when:.3f}")
        for vm in case.story.at[sample.last].keys() - places.keys():
            verdict.hold(False, f"{vm} stands nowhere at {sample.when:.3f}")


def given_once(case: Analysis, verdict: Verdict) -> None:
    """Check that no VM is given to two clients."""
    for vm, count in Counter(claim.vm for claim in case.claims).items():
        verdict.hold(count == 1, f"{vm} was given {count} times")
    for claim in case.claims:
        back = [event for event in case.after(claim) if event.what in RELEASES]
        verdict.hold(not back, f"{claim.vm} was taken back while client {claim.client} had it")


def kept(case: Analysis, verdict: Verdict) -> None:
    """Check that a client's VM is completed only for a valid reason, and is at the provider until then."""
    for claim in case.claims:
        ends = [event for event in case.after(claim) if event.what is What.COMPLETED]
        for event in ends:
            good = _may_end(case, claim, event.why, moment(event))
            verdict.hold(good, f"{claim.vm} was completed while client {claim.client} had it: {event.why}")
        if not ends and not case.lost(claim.vm):
            verdict.hold(claim.vm in case.evidence.inventory, f"{claim.vm}, which a client has, is not at the vCenter")
    done = {vm: moment(event) for vm in case.story.of for event in case.story.happened(vm, What.COMPLETED)}
    for note in case.evidence.journal:
        if note.what == "destroy" and note.vm in case.story.of:
            good = note.when >= done.get(note.vm, float("inf")) - SPREAD
            verdict.hold(good, f"{note.vm} was destroyed at {note.when:.3f}, before it was completed")


def _may_end(case: Analysis, claim: CheckoutClaim, why: str, when: float) -> bool:
    ours = case.asked_of(claim.vm)
    if why == BY_CLIENT:
        asked = [each for each in ours if each.verb is Verb.DELETE and not each.refused]
        return any(each.began <= when + SPREAD for each in asked)
    if why.startswith(OVER):
        asked = [each for each in ours if each.verb is Verb.LIFETIME and not each.refused]
        # A change answered before ``when`` applies. One of unknown outcome, or answered later, may apply as well.
        sure = [each for each in asked if each.done and each.ended < when]
        unsure = [float(each.value) for each in asked if not each.done or each.ended >= when]
        hours = [float(sure[-1].value)] if sure else [case.rules.lifetime]
        return when >= claim.since + min([*hours, *unsure]) * 3600 - 1.1  # records keep whole seconds
    return why.startswith(NOWHERE) and case.lost(claim.vm, when)


def accounted(case: Analysis, verdict: Verdict) -> None:
    """Check that each VM at the provider is in a queue at the end, and that the foreign VM is untouched."""
    places = case.evidence.end.places()
    for vm in case.evidence.inventory:
        queues = places.get(vm, [])
        known = vm in case.rules.foreign or (queues and queues != [Queue.DISCOVERED])
        verdict.hold(bool(known), f"{vm} is at the vCenter and {' and '.join(queues) or 'in no queue'}")
    for vm in case.rules.foreign:
        there = vm in case.evidence.inventory or bool(case.evidence.forgot)
        verdict.hold(there, f"{vm}, which is foreign, is gone")
    for note in case.evidence.journal:
        if note.what == "destroy":
            verdict.hold(note.vm in case.story.of and note.vm not in case.rules.foreign, f"{note.vm} was destroyed")
