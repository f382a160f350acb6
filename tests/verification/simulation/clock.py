"""Virtual time: one time for all processes, and for each process a clock that ends with it."""

from __future__ import annotations

import attrs
from twisted.internet.task import Clock

MORNING = 4_000_000_000.0
"""When every schedule begins (epoch). It is far in the future: the ids of the event stream follow it, and Redis never
assigns ids from its own clock that are lower."""


@attrs.define
class Time:
    """The current moment, in seconds since the epoch."""

    now: float = MORNING


class ProcessClock(Clock):
    """The clock of one process. Calls that are due run when the scheduler chooses them."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def seconds(self) -> float:
        """Return the current moment. It is the same for all processes."""
        return self._time.now

    @property
    def due(self) -> float | None:
        """When the next call is due."""
        return self.calls[0].getTime() if self.calls else None

    def fire(self) -> None:
        """Run the call that is due first."""
        call = self.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)
