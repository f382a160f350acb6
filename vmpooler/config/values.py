"""A scalar of the file -> a value of the type and within the limits of its setting."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

LARGEST = 1_000_000_000
"""No number of a setting may be larger: thousands of years in any unit, and safe in every sum and every store."""

WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Wrong(Exception):
    """A value is not what its setting wants; the text says what that is ("a whole number")."""


def convert(raw: object, kind: type, limits: Mapping[str, Any]) -> Any:
    """``raw`` as a ``kind`` (str, int, float or bool) within the ``limits`` of :func:`vmpooler.settings.setting`.

    Raises Wrong.
    """
    wanted, reading = READINGS[kind]
    if isinstance(raw, str) and raw in limits["words"]:
        return limits["words"][raw]
    wanted = " or ".join((wanted, *limits["words"]))
    value = reading(raw) if isinstance(raw, str) else None
    if value is None:
        raise Wrong(wanted)
    if kind in (int, float):
        _check_range(value, limits)
    if limits["choices"] and value not in limits["choices"]:
        raise Wrong(" or ".join(limits["choices"]))
    if limits["pattern"] and not re.fullmatch(limits["pattern"], value):
        raise Wrong(f"text that matches {limits['pattern']}")
    return value


def _check_range(value: float, limits: Mapping[str, Any]) -> None:
    if limits["minimum"] is not None and value < limits["minimum"]:
        raise Wrong(f"at least {limits['minimum']}")
    largest = LARGEST if limits["maximum"] is None else limits["maximum"]
    if value > largest:
        raise Wrong(f"at most {largest}")


def _text(raw: str) -> str | None:
    return None if CONTROL.search(raw) else raw


def _whole(raw: str) -> int | None:
    return int(raw) if WHOLE.fullmatch(raw) else None


def _number(raw: str) -> float | None:
    value = float(raw) if NUMBER.fullmatch(raw) else math.nan
    return value if math.isfinite(value) else None


def _truth(raw: str) -> bool | None:
    return {"true": True, "false": False}.get(raw.lower())


READINGS: Mapping[type, tuple[str, Callable[[str], Any]]] = {
    str: ("text on one line", _text),
    int: ("a whole number", _whole),
    float: ("a number", _number),
    bool: ("true or false", _truth),
}
