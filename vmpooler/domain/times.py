"""Moments as the original writes them: local time with its offset, so that a change of the clock's zone cannot make
a duration jump. Seconds since the epoch everywhere else."""

from datetime import UTC, datetime
from functools import lru_cache

FORMAT = "%Y-%m-%d %H:%M:%S %z"
"""How a moment stands in Redis and in replies; clients parse exactly this."""

DAY = 86400
"""Seconds; a local day may be an hour longer or shorter."""


def text(now: float) -> str:
    """A moment as text, in the local zone."""
    return _text(int(now))


@lru_cache(maxsize=1)
def _text(second: int) -> str:
    """Ten microseconds of work, which all that happens in the same second has in common."""
    return datetime.fromtimestamp(second).astimezone().strftime(FORMAT)


@lru_cache(maxsize=1 << 17)
def moment(text: str) -> float | None:
    """The moment that a text means, in seconds since the epoch; None for what is no moment."""
    try:
        return datetime.strptime(text, FORMAT).timestamp()
    except (ValueError, OverflowError):
        return None


def day(now: float) -> str:
    """The local date, as it stands in the keys of daily figures."""
    return datetime.fromtimestamp(now).strftime("%Y-%m-%d")


def rfc3339(now: float) -> str:
    """A moment in UTC as RFC 3339 has it."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
