"""Deferreds of callers that wait until an event has happened."""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.defer import Deferred


class Waits:
    """Deferreds, by the event that they wait for. Cancelling a Deferred ends that wait and nothing else."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[None]]] = {}

    def until(self, what: Hashable) -> Deferred[None]:
        """Return a Deferred that fires when the event happens, or fails when the event fails."""
        waiting = self._waiting.setdefault(what, [])
        waiter: Deferred[None] = Deferred(waiting.remove)
        waiting.append(waiter)
        return waiter

    def over(self, what: Hashable, error: Exception | None = None) -> None:
        """Fire every Deferred that waits for the event, or fail it with ``error``."""
        for waiter in self._waiting.pop(what, []):
            waiter.callback(None) if error is None else waiter.errback(error)

    def give_up(self, error: Exception) -> None:
        """Fail every Deferred with ``error``, whatever it waits for."""
        for what in list(self._waiting):
            self.over(what, error)
