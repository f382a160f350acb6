"""Numbers as clients send them."""

import re

MAX_NUMBER = 10**15 - 1
"""The largest number: a larger one counts as this one."""


def whole(value: object) -> int | None:
    """Return the integer that a number means, or text that begins with one: 0 to MAX_NUMBER, 0 if it contains none.

    None for a value that cannot mean a number: true, false, a list, an object. Source: docs/compatibility.md#checkout.
    """
    match value:
        case None:
            return 0
        case bool() | list() | dict():
            return None
        case int() | float():
            return int(max(0, min(value, MAX_NUMBER)))
        case _:
            digits = re.match(r"\s*\+?(\d[\d_]*)", str(value), re.ASCII)
            return min(MAX_NUMBER, int(digits[1].replace("_", "")[:20])) if digits else 0
