"""The evidence of a run: everything that is checked afterwards."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tests.verification.chaos.history import Operation
from tests.verification.chaos.redis_reader import RedisReader
from tests.verification.chaos.watcher import RedisSample, sample
from vmpooler.domain.events import Event


@attrs.frozen
class Note:
    """A line of the vCenter's journal: when (epoch) what was done to which VM."""

    when: float
    what: str
    vm: str


@attrs.frozen
class Evidence:
    """The clients' responses, every event, the contents of Redis at moments of the run, and the actions of the vCenter.

    ``samples`` are of the run; the last one is of its end. ``records``, ``histories`` (entries of JSON), ``open_tasks``
    (ids) and ``inventory`` (VM -> GB of its extra disks) are of the end, when nothing was in flight. ``forgot``: when
    (epoch) the vCenter lost all VMs. ``settled``: seconds from the last fault until every pool was full again; None
    when that never happened. ``held_up``: periods (from, to) in which orders to the vCenter may have been delayed.
    ``lapses``: periods (from, to) whose writes Redis has lost.
    """

    operations: Sequence[Operation]
    events: Sequence[Event]
    samples: Sequence[RedisSample]
    records: Mapping[str, Mapping[str, str]]
    histories: Mapping[str, Sequence[str]]
    open_tasks: frozenset[str]
    inventory: Mapping[str, Sequence[int]]
    journal: Sequence[Note]
    forgot: Sequence[float]
    settled: float | None
    held_up: Sequence[tuple[float, float]] = ()
    lapses: Sequence[tuple[float, float]] = ()

    @property
    def end(self) -> RedisSample:
        """The contents of Redis when nothing was in flight any more."""
        return self.samples[-1]


def gathered(
    books: RedisReader, pools: list[str], samples: Sequence[RedisSample], known: Mapping[str, Any], journal: Path
) -> Evidence:
    """Return the evidence of a run in which nothing is in flight any more. ``known`` is what only the run knows."""
    events = list(books.events())
    vms = list(dict.fromkeys(event.vm for event in events if event.vm))
    return Evidence(
        events=events,
        samples=[*samples, sample(books, pools)],
        records=books.records(vms),
        histories=books.histories(vms),
        open_tasks=books.open_tasks(pools),
        journal=[noted(line) for line in journal.read_text().splitlines()],
        **known,
    )


def noted(line: str) -> Note:
    """Parse a line of the journal."""
    when, what, vm = line.split()
    return Note(float(when), what, vm)


def entry(event: Event) -> Mapping[str, str]:
    """Return an event as it stands in the history of its VM, without its moment."""
    why = {"why": event.why} if event.why else {}
    return {"what": event.what, "pool": event.pool, "vm": event.vm, "by": event.by, **why, **event.more}


def parsed_entry(text: str) -> Mapping[str, str]:
    """Parse an entry of a history, without its moment."""
    return {key: str(value) for key, value in json.loads(text).items() if key != "when"}
