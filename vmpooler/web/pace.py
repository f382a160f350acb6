"""How often those who listen to events are told what, and how patient the service is with them."""

import attrs


@attrs.frozen
class Pace:
    """All in seconds."""

    spacing: float = 0.25
    """Between two readings of the pools: however much happens, clients are told of counts no more often."""

    whole: float = 5.0
    """After which all pools are read though nothing was heard of them: another program may have changed them."""

    beat: float = 15.0
    """Between two comments."""

    stall: float = 30.0
    """After which a client that takes nothing is hung up on."""


USUAL = Pace()

AGAIN = 1.0
"""Seconds before the next try when Redis is away."""
