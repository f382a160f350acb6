"""Times in the format of Ruby vmpooler: local time with its offset.

Because of the offset, a change of the clock's zone cannot make a duration jump. All other code uses seconds since the
epoch.
"""

from datetime import UTC, datetime
from functools import lru_cache

FORMAT = "%Y-%m-%d %H:%M:%S %z"
"""The format of a time in Redis and in replies. Clients parse exactly this format."""

DAY = 86400
"""Seconds in a day. A local day may be an hour longer or shorter."""


def text(now: float) -> str:
    """Return a time as text, in the local zone."""
    return _text(int(now))


@lru_cache(maxsize=1)
def _text(second: int) -> str:
    """Format a second. The cache saves ten microseconds for each further use of the same second."""
    return datetime.fromtimestamp(second).astimezone().strftime(FORMAT)


@lru_cache(maxsize=1 << 17)
def moment(text: str) -> float | None:
    """Return the time that a text means, in seconds since the epoch; None if it is not in this format."""
    try:
        return datetime.strptime(text, FORMAT).timestamp()
    except (ValueError, OverflowError):
        return None


def day(now: float) -> str:
    """Return the local date, as used in the keys of daily figures."""
    return datetime.fromtimestamp(now).strftime("%Y-%m-%d")


def rfc3339(now: float) -> str:
    """Return a time in UTC in the format of RFC 3339."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
