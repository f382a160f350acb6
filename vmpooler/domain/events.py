"""Events and their wording. Each transition writes one, in the same script that makes the transition."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import attrs


class What(StrEnum):
    """The kinds of event. The comments describe each kind, and the content of ``why`` where it is set."""

    CLONE = "clone"  # a clone was ordered
    CLONED = "cloned"  # the clone has ended, after ``seconds``
    READY = "ready"  # pending -> ready, ``seconds`` after its clone was ordered
    CHECKOUT = "checkout"  # ready -> running; by: the user, if known
    UNCLAIMED = "unclaimed"  # its client never got it: why; it returns to ready when its stamp is cleared
    RETURNED = "returned"  # running -> ready: why its client never got it
    RESTORED = "restored"  # any queue -> running, Redis had lost its checkout: the evidence, if it is the VM's stamp or
    # record; by: the user, if known
    QUARANTINED = (
        "quarantined"  # ready, pending or none -> running: why a client may have it though Redis has no checkout
    )
    COMPLETED = "completed"  # ``queue`` -> completed: why
    DESTROYED = "destroyed"  # was destroyed, which took ``seconds``
    DISCOVERED = "discovered"  # is in the inventory and in no queue
    EXPLAINED = "explained"  # is not discovered any more: why
    MISSING = "missing"  # a ready or running VM is not in the inventory
    FOUND = "found"  # is in the inventory again
    SETTLED = "settled"  # was in several queues: the queues that it left
    CHANGED = "changed"  # its lifetime or tags were set: the new values
    REQUESTED = "requested"  # a client requested task ``kind`` with ``argument``; ``task`` is its id
    DONE = "done"  # the task was done
    DELAYED = "delayed"  # the task failed: why; ``tries`` so far, the next after ``seconds``
    GAVE_UP = "gave_up"  # the task failed and is not retried: why
    FAILED = "failed"  # an operation on ``subject`` failed: why; ``tries`` in a row, the next after ``seconds``
    RECOVERED = "recovered"  # ``subject`` works again
    FLAGGED = "flagged"  # the mass guard holds: why
    UNFLAGGED = "unflagged"
    EMPTY = "empty"  # the pool has no ready VM
    FILLED = "filled"  # the pool has a ready VM again


PHRASES = {
    What.CLONE: "[ ] {who} is being cloned",
    What.CLONED: "[+] {who} cloned in {seconds} seconds",
    What.READY: "[>] {who} moved from 'pending' to 'ready' queue, {seconds} seconds after its clone was ordered",
    What.CHECKOUT: "[>] {who} moved from 'ready' to 'running' queue, for {by}",
    What.UNCLAIMED: "[<] {who} goes back to 'ready' queue once its stamp is clear: {why}",
    What.RETURNED: "[<] {who} moved from 'running' back to 'ready' queue: {why}",
    What.RESTORED: "[>] {who} moved to 'running' queue again, for {by}: {why}",
    What.QUARANTINED: "[!] {who} quarantined, moved to 'running' queue: {why}",
    What.COMPLETED: "[!] {who} {why}, moved from '{queue}' to 'completed' queue",
    What.DESTROYED: "[-] {who} destroyed in {seconds} seconds",
    What.DISCOVERED: "[?] {who} has been discovered",
    What.EXPLAINED: "[!] {who} {why}, removed from 'discovered' queue",
    What.MISSING: "[!] {who} is missing from the inventory",
    What.FOUND: "[>] {who} is back in the inventory",
    What.SETTLED: "[!] {who} stood in several queues, removed from: {why}",
    What.CHANGED: "[+] {who} set: {why}",
    What.REQUESTED: "[ ] {who} {kind} {argument} was asked for by {by}",
    What.DONE: "[+] {who} {kind} {argument} is done",
    What.DELAYED: "[!] {who} {kind} {argument} failed: {why} (try {tries}, next in {seconds} s)",
    What.GAVE_UP: "[!] {who} {kind} {argument} is given up after {tries} tries: {why}",
    What.FAILED: "[!] {who} {subject} failed: {why} (failure {tries} in a row, next try in {seconds} s)",
    What.RECOVERED: "[*] {who} {subject} works again",
    What.FLAGGED: "[!] {who} mass guard: {why}. To give them up: vmpooler confirm {pool}",
    What.UNFLAGGED: "[*] {who} mass guard lifted",
    What.EMPTY: "[!] {who} is empty",
    What.FILLED: "[*] {who} is no longer empty",
}
"""The mark and the sentence of each kind. The marks are those of Ruby vmpooler: docs/compatibility.md#log-lines."""

SUBJECTS = {
    ":clone": "cloning",
    ":inventory": "the inventory",
    ":missing": "the inventory",
    ":answers": "probing",
    ":power": "switching VMs on",
}
"""The sources of failures that are not VMs, in words."""

ONE_LINE = dict.fromkeys([*range(32), *range(127, 160), 0x2028, 0x2029], " ")
"""Replaces control characters and line separators: text from outside must not start a line of its own."""


@attrs.frozen
class Event:
    """One event. ``when`` is in seconds since the epoch; ``id`` is the stream's id, and increases.

    ``by`` is the source of the event: ``manager``, ``api`` or a user. ``more`` has the fields that only some kinds
    have, as text.
    """

    id: str
    what: What
    pool: str
    vm: str
    when: float
    by: str
    why: str = ""
    more: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of(cls, id: str, fields: Mapping[str, str]) -> Self | None:
        """Return an event from the fields of a stream entry.

        None if this version does not know the kind, or a field is missing.
        """
        rest = dict(fields)
        try:
            return cls(
                id=id,
                what=What(rest.pop("what")),
                pool=rest.pop("pool"),
                vm=rest.pop("vm"),
                when=float(rest.pop("when")),
                by=rest.pop("by"),
                why=rest.pop("why", ""),
                more=rest,
            )
        except (KeyError, ValueError):
            return None


def line(event: Event) -> str:
    """Return the text of an event in the log."""
    more = dict.fromkeys(("queue", "seconds", "tries", "kind", "argument"), "?") | dict(event.more)
    more["seconds"] = more["seconds"] or "?"
    more["subject"] = SUBJECTS.get(event.more.get("subject", ""), "the last operation" if event.vm else "the provider")
    who = f"[{event.pool}] '{event.vm}'" if event.vm else f"[{event.pool}]"
    text = PHRASES[event.what].format(who=who, pool=event.pool, by=event.by, why=event.why, **more)
    return text.translate(ONE_LINE)


def sentence(event: Event) -> str:
    """Return the text of an event for clients: its line in the log without the mark and the pool."""
    return line(event)[len("[x] ") :].removeprefix(f"[{event.pool}] ")
