"""Numbers as clients send them."""

import re

MOST = 10**15 - 1
"""What is above counts as this many."""


def whole(value: object) -> int | None:
    """The whole number meant by a number, or by text that begins with one: from 0 to MOST, 0 where there is none. None
    for what cannot mean a number: true, a list, an object. Source: API-CONTRACT 3, POST and PUT."""
    match value:
        case None:
            return 0
        case bool() | list() | dict():
            return None
        case int() | float():
            return int(max(0, min(value, MOST)))
        case _:
            digits = re.match(r"\s*\+?(\d[\d_]*)", str(value), re.ASCII)
            return min(MOST, int(digits[1].replace("_", "")[:20])) if digits else 0
