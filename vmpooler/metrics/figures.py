"""What figures there are, and their names: the original's. Source: MANAGER-CONTRACT 1.8."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from vmpooler.domain import summary
from vmpooler.domain.events import Event, What
from vmpooler.domain.history import SERIES

TIMED = {What.CLONED: "clone", What.DESTROYED: "destroy"}
"""The events that say how long something took, and what that is called."""

SAMPLED = ("ready", "running")
"""What is told of a sample."""


class Writer(Protocol):
    """Where figures go."""

    def write(self, name: str, value: float, when: float) -> None:
        """Send a figure of some moment (epoch) by and by, if that is possible."""


class Figures:
    """Tells a writer how pools stand, and how long clones and destructions took, in seconds."""

    def __init__(self, prefix: str, writer: Writer) -> None:
        self._prefix = prefix
        self._writer = writer

    def sampled(self, rows: Mapping[str, Sequence[int]], when: float) -> None:
        """A sample was taken of these pools."""
        for pool, row in rows.items():
            for name, value in zip(SERIES, row, strict=True):
                if name in SAMPLED:
                    self._writer.write(f"{self._prefix}.{name}.{pool}", value, when)

    def heard(self, event: Event) -> None:
        """Something happened: a listener of the event stream."""
        name, seconds = TIMED.get(event.what), summary.seconds(event.more.get("seconds", ""))
        if name is not None and seconds is not None:
            self._writer.write(f"{self._prefix}.{name}.{event.pool}", seconds, event.when)
