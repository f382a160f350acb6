"""The checks of the contents of Redis: events, records, and the number of VMs."""

from collections.abc import Collection, Iterable, Iterator

from tests.verification.chaos.evidence import Note, entry, parsed_entry
from tests.verification.chaos.story import RELEASES
from tests.verification.chaos.verdict import Analysis, Verdict
from vmpooler.domain.events import Event, What
from vmpooler.domain.model import Queue
from vmpooler.domain.tasks import Kind
from vmpooler.domain.times import moment as of_text

ENDED = (Queue.PENDING, Queue.READY, Queue.COMPLETED)
"""The queues that must be empty for a pool that is not configured any more."""


def clones(case: Analysis, verdict: Verdict) -> None:
    """Check that no clone exceeds a pool's size, and that clones in flight never exceed the limit. Clones in flight are
    counted in Redis and at the vCenter."""
    ordered = sum(event.what is What.CLONE for event in case.evidence.events)
    verdict.checks += ordered - len(case.story.crowded)
    for each in case.story.crowded:
        verdict.hold(False, each)
    limit = case.rules.task_limit
    for sample in case.evidence.samples:
        verdict.hold(len(sample.cloning) <= limit, f"{len(sample.cloning)} clones in the books at {sample.when:.3f}")
        verdict.hold(sample.count == len(sample.cloning), f"{sample.count} clones are counted at {sample.when:.3f}")
    for note, count in _under_way(case.evidence.journal, case.story.of.keys() - case.rules.foreign):
        verdict.hold(count <= limit, f"{count} clones under way at the vCenter at {note.when:.3f}")
    verdict.hold(not case.evidence.end.cloning, "a clone is counted as under way at the end")


def _under_way(journal: Iterable[Note], ours: Collection[str]) -> Iterator[tuple[Note, int]]:
    """Yield how many clones of the service were in flight whenever one began. A vCenter that starts has none."""
    cloning = set[str]()
    for note in journal:
        match note.what:
            case "start":
                cloning.clear()
            case "cloned":
                cloning.discard(note.vm)
            case "clone" if note.vm in ours:
                cloning.add(note.vm)
                yield note, len(cloning)


def consistent(case: Analysis, verdict: Verdict) -> None:
    """Check that each event is a transition from the queue in which the earlier events left the VM. The events must end
    at the state of Redis."""
    verdict.checks += case.story.moves
    verdict.violations += case.story.wrong
    for sample in case.evidence.samples:
        for vm, queues in sample.places().items():
            stands = case.story.at[sample.last].get(vm)
            verdict.hold(stands in queues, f"{vm} is {' and '.join(queues)}, by its events {stands or 'nowhere'}")


def recorded(case: Analysis, verdict: Verdict) -> None:
    """Check that the record and the history of each VM match its events."""
    for vm, events in case.story.of.items():
        texts = case.evidence.histories.get(vm, [])
        ours = [entry(event) for event in events][-len(texts) :] if texts else []
        verdict.hold(
            bool(texts) and [parsed_entry(text) for text in texts] == ours, f"the history of {vm} is not its events"
        )
        if vm in case.rules.foreign:
            continue
        record = case.record(vm)
        taken = [event for event in events if event.what in (What.CHECKOUT, *RELEASES)]
        held = taken[-1] if taken and taken[-1].what is What.CHECKOUT else None
        since = of_text(record.get("checkout", ""))
        same = since is None if held is None else since is not None and abs(since - held.when) <= 1.1
        verdict.hold(same, f"{vm}: its record says checked out {since}, its last event {held and held.when}")
        destroyed = bool(case.story.happened(vm, What.DESTROYED))
        verdict.hold(("destroy" in record) == destroyed, f"{vm}: its record and its events differ on its end")
        disks = [f"+{event.more['argument']}gb" for event in events if _is_disk(event)]
        verdict.hold(record.get("disk", "") == ":".join(disks), f"{vm}: its record has disks {record.get('disk')}")


def _is_disk(event: Event) -> bool:
    return event.what is What.DONE and event.more["kind"] == Kind.DISK


def full_again(case: Analysis, verdict: Verdict) -> None:
    """Check that every pool is at size again, in time."""
    settled = case.evidence.settled
    verdict.hold(settled is not None and settled <= case.rules.settles, f"full again after {settled} s")
    for pool, size in case.rules.last.items():
        queues = {queue: len(case.evidence.end.queues[pool, queue]) for queue in (Queue.READY, Queue.PENDING)}
        good = queues[Queue.READY] == size and not queues[Queue.PENDING]
        verdict.hold(good, f"{pool} has {queues[Queue.READY]} of {size} ready, {queues[Queue.PENDING]} pending")
    for pool in case.rules.sizes.keys() - case.rules.last.keys():
        left = {vm for queue in ENDED for vm in case.evidence.end.queues[pool, queue]}
        verdict.hold(not left, f"{pool} is not configured and has {', '.join(sorted(left))}")
