"""How long a checked-out VM lives."""

import re


def hours(stored: str, default: float) -> float:
    """The hours that a record's ``lifetime`` means: its leading number, ``default`` when there is no such field. Text
    without a number is 0. Source: MANAGER-CONTRACT 1.2."""
    if not stored:
        return default
    number = re.match(r"\s*[+-]?\d{1,15}", stored, re.ASCII)
    return float(number[0]) if number else 0.0


def limit(stored: str, default: float) -> float | None:
    """The same as a limit: None, for never, when it is not above 0."""
    found = hours(stored, default)
    return found if found > 0 else None
