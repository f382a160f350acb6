"""Callers who wait until something has happened."""

from __future__ import annotations

from collections.abc import Hashable

from twisted.internet.defer import Deferred


class Waits:
    """Deferreds, by what they wait for. To cancel one ends that wait and nothing else."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, list[Deferred[None]]] = {}

    def until(self, what: Hashable) -> Deferred[None]:
        """Fires when that is over, or fails when it fails."""
        waiting = self._waiting.setdefault(what, [])
        waiter: Deferred[None] = Deferred(waiting.remove)
        waiting.append(waiter)
        return waiter

    def over(self, what: Hashable, error: Exception | None = None) -> None:
        """Let go those who wait for that: it is done, or has failed with ``error``."""
        for waiter in self._waiting.pop(what, []):
            waiter.callback(None) if error is None else waiter.errback(error)

    def give_up(self, error: Exception) -> None:
        """Let go everyone, whatever they wait for."""
        for what in list(self._waiting):
            self.over(what, error)
