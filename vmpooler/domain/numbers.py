"""Numbers as clients send them."""

import re

MOST = 10**15 - 1
"""The largest number: a larger one counts as this one."""


def whole(value: object) -> int | None:
    """Return the integer that a number means, or text that begins with one: from 0 to MOST, 0 if it contains none.

    None for a value that cannot mean a number: true, false, a list, an object. Source: docs/compatibility.md#checkout.
    """
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
