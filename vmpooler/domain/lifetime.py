"""The lifetime of a checked-out VM."""

import math
import re

HOUR = 3600.0

END_OF_TIME = 253402300799.0
"""The last second of the year 9999. No lifetime is reported to end later, since no date can be."""


def hours(stored: str, default: float) -> float:
    """Return the hours that a record's ``lifetime`` means: its leading number, or ``default`` if the field is missing.

    Text without a number is 0. Source: docs/compatibility.md#lifetimes.
    """
    if not stored:
        return default
    number = re.match(r"\s*[+-]?\d{1,15}", stored, re.ASCII)
    return float(number[0]) if number else 0.0


def given(stored: str, default: float) -> float:
    """Return the default hours that were stored at the checkout of a VM, or ``default`` if the record has none.

    Later changes of the settings apply to later checkouts only.
    """
    try:
        hours = float(stored)
    except ValueError:
        return default
    return hours if math.isfinite(hours) else default


def limit(stored: str, default: float) -> float | None:
    """Return the hours of :func:`hours` as a limit: None (no limit) if they are not above 0."""
    found = hours(stored, default)
    return found if found > 0 else None


def end(checkout: float | None, limit: float | None) -> float | None:
    """Return when a VM that was checked out will be completed; None if never. ``limit`` is in hours."""
    return None if checkout is None or limit is None else min(checkout + limit * HOUR, END_OF_TIME)
