"""Intervals and timeouts of the event stream to clients."""

import attrs


@attrs.frozen
class Pace:
    """All values are in seconds."""

    spacing: float = 0.25
    """Time between two readings of the pools: clients get counts no more often, however many events occur."""

    whole: float = 5.0
    """Time after which all pools are read even without events: another program may have changed them."""

    beat: float = 15.0
    """Time between two comments (heartbeats)."""

    stall: float = 30.0
    """Time after which a client that reads nothing is disconnected."""


USUAL = Pace()

RETRY_DELAY = 1.0
"""Seconds before the next attempt when Redis is unavailable."""
