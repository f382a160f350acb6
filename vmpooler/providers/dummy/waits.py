"""Signals of the simulated hypervisor, by what happens there."""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from vmpooler.deferreds import Signal


class Waits:
    """Deferreds, by the event that they wait for. Cancelling a Deferred ends that wait and nothing else."""

    def __init__(self) -> None:
        self._signals: dict[Hashable, Signal[None]] = {}

    def until(self, what: Hashable) -> Deferred[None]:
        """Return a Deferred that fires when the event happens, or fails when the event fails."""
        return self._signals.setdefault(what, Signal()).wait()

    def over(self, what: Hashable, error: Exception | None = None) -> None:
        """Fire every Deferred that waits for the event, or fail it with ``error``."""
        if (signal := self._signals.pop(what, None)) is not None:
            signal.send(None if error is None else Failure(error))

    def give_up(self, error: Exception) -> None:
        """Fail every Deferred with ``error``, whatever it waits for."""
        for what in list(self._signals):
            self.over(what, error)
