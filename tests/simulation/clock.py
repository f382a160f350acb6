"""Virtual time: one for all, and a clock for each process that ends with it."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock

MORNING = 4_000_000_000.0
"""When every schedule begins (epoch). Far in the future: the ids of the event stream follow it, and Redis never counts
them back from its own clock."""


@attrs.define
class Time:
    """The moment, in seconds since the epoch."""

    now: float = MORNING


class ProcessClock(Clock):
    """The clock of one process; what is due is called when the scheduler says so."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def seconds(self) -> float:
        """The moment; the same for all."""
        return self._time.now

    @property
    def due(self) -> float | None:
        """When the next call is due."""
        return self.calls[0].getTime() if self.calls else None

    def fire(self) -> None:
        """Make the call that is due first."""
        call = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)
