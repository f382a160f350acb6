"""The metrics and their names, which are those of Ruby vmpooler. Source: docs/compatibility.md#graphite-names."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from vmpooler.domain import summary
from vmpooler.domain.events import Event, What
from vmpooler.domain.history import SERIES

TIMED = {What.CLONED: "clone", What.DESTROYED: "destroy"}
"""The events that contain a duration, and the names of its metrics."""

SAMPLED = ("ready", "running")
"""The series of a sample that are written."""


class Writer(Protocol):
    """Sends metrics to a server."""

    def write(self, name: str, value: float, when: float) -> None:
        """Queue the value of a metric at ``when`` (epoch). It is sent later, unless the server stays away."""


class MetricsReporter:
    """Writes the number of VMs of each pool, and the seconds that clones and destructions took."""

    def __init__(self, prefix: str, writer: Writer) -> None:
        self._prefix = prefix
        self._writer = writer

    def sampled(self, rows: Mapping[str, Sequence[int]], when: float) -> None:
        """Write a sample of these pools."""
        for pool, row in rows.items():
            for name, value in zip(SERIES, row, strict=True):
                if name in SAMPLED:
                    self._writer.write(f"{self._prefix}.{name}.{pool}", value, when)

    def on_event(self, event: Event) -> None:
        """Write the duration that an event contains; a listener of the event stream."""
        name, seconds = TIMED.get(event.what), summary.seconds(event.more.get("seconds", ""))
        if name is not None and seconds is not None:
            self._writer.write(f"{self._prefix}.{name}.{event.pool}", seconds, event.when)
