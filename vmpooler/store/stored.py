"""Reads what stands in Redis as JSON or as a number.

Another version may have written it: a newer one that was taken back, or an older one. Members that this version does
not know are ignored, missing ones take their defaults. What cannot be read at all is None: it concerns one entry, and
must not stop a pool.
"""

import json
import re
from typing import Any, TypeVar

import cattrs

T = TypeVar("T")

NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)

_converter = cattrs.Converter()


def read(text: str, kind: type[T]) -> T | None:
    """The attrs class that a JSON object stands for; None for what is none."""
    found = members(text)
    try:
        return None if found is None else _converter.structure(found, kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
        return None


def members(text: str) -> dict[str, Any] | None:
    """The members of a JSON object; None for what is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def number(text: str | None) -> float | None:
    """A number that is not negative, such as a moment; None for no text and for what is none."""
    return float(text) if text and NUMBER.fullmatch(text) else None
