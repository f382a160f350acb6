"""How long a checked-out VM lives."""

import math
import re


def hours(stored: str, default: float) -> float:
    """The hours that a record's ``lifetime`` means: its leading number, ``default`` when there is no such field. Text
    without a number is 0. Source: MANAGER-CONTRACT 1.2."""
    if not stored:
        return default
    number = re.match(r"\s*[+-]?\d{1,15}", stored, re.ASCII)
    return float(number[0]) if number else 0.0


def given(stored: str, default: float) -> float:
    """The hours that a VM without a lifetime of its own was given at its checkout: later changes of the settings are
    for later checkouts. ``default`` where the record does not say."""
    try:
        hours = float(stored)
    except ValueError:
        return default
    return hours if math.isfinite(hours) else default


def limit(stored: str, default: float) -> float | None:
    """The same as a limit: None, for never, when it is not above 0."""
    found = hours(stored, default)
    return found if found > 0 else None
