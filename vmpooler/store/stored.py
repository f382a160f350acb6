"""Reads values that Redis stores as JSON or as a number.

Another version may have written them: a newer version that was rolled back, or an older one. Unknown members are
ignored, and missing members get their defaults. An unreadable value reads as None: it affects one entry, and must not
stop a pool.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import cattrs

T = TypeVar("T")

NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)

_converter = cattrs.Converter()


def read(text: str, kind: type[T]) -> T | None:
    """Return an instance of the attrs class ``kind`` from a JSON object; None when the text does not contain one."""
    found = members(text)
    try:
        return None if found is None else _converter.structure(found, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
        return None


def members(text: str) -> dict[str, Any] | None:
    """Return the members of a JSON object; None when the text is not a JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(text: str | None) -> float | None:
    """Return a non-negative number, such as a time; None when the text is absent or not such a number."""
    return float(text) if text and NUMBER.fullmatch(text) else None


def paired(flat: Sequence[T]) -> dict[T, T]:
    """The fields of a hash, or of an event, from the flat list that Redis returns: name, value, name, value, ..."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
