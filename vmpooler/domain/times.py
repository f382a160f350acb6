"""Times and lifetimes as records have them.

A time has the format of Ruby vmpooler: local time with its offset. Because of the offset, a change of the clock's zone
cannot make a duration jump. All other code uses seconds since the epoch.
"""

import math
import re
from datetime import UTC, datetime
from functools import lru_cache

FORMAT = "%Y-%m-%d %H:%M:%S %z"
"""The format of a time in Redis and in replies. Clients parse exactly this format."""

DAY = 86400
"""Seconds in a day. A local day may be an hour longer or shorter."""

HOUR = 3600.0

END_OF_TIME = 253402300799.0
"""The last second of the year 9999. No lifetime is reported to end later, since no date can be."""


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


def lifetime(stored: str, default: float) -> float:
    """Return the hours that a record's ``lifetime`` means: its leading number, or ``default`` if the field is missing.

    Text without a number is 0. Source: docs/compatibility.md#lifetimes.
    """
    if not stored:
        return default
    number = re.match(r"\s*[+-]?\d{1,15}", stored, re.ASCII)
    return float(number[0]) if number else 0.0


def lifetime_given(stored: str, default: float) -> float:
    """Return the default hours that were stored at the checkout of a VM, or ``default`` if the record has none.

    Later changes of the settings apply to later checkouts only.
    """
    try:
        hours = float(stored)
    except ValueError:
        return default
    return hours if math.isfinite(hours) else default


def lifetime_limit(stored: str, default: float) -> float | None:
    """Return the hours of :func:`lifetime` as a limit: None (no limit) if they are not above 0."""
    found = lifetime(stored, default)
    return found if found > 0 else None


def lifetime_end(checkout: float | None, limit: float | None) -> float | None:
    """Return when a VM that was checked out will be completed; None if never. ``limit`` is in hours."""
    return None if checkout is None or limit is None else min(checkout + limit * HOUR, END_OF_TIME)
