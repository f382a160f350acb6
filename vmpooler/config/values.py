"""Converts the text of a setting into its value, within its limits, and the text of ``listen`` into an endpoint."""

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

LARGEST = 1_000_000_000
"""Maximum of the settings that have no other: thousands of years in any unit, and safe in every sum and store."""

WHOLE = re.compile(r"[+-]?[0-9]{1,20}")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Wrong(Exception):
    """A value is not valid for its setting; the text says what was expected ("a whole number")."""


def convert(raw: object, kind: type, limits: Mapping[str, Any]) -> Any:
    """Return ``raw`` as a str, int, float or bool within the ``limits`` of :func:`vmpooler.settings.setting`.

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

MEANT = "a port, an address and port, or a Twisted endpoint such as tcp:4567"
SCHEMES = ("tcp", "tcp6", "ssl", "unix", "systemd", "haproxy")
"""Endpoints that are part of Twisted. In ``word:number``, any other word is the name of a host."""

ADDRESS = re.compile(r"(?:(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*):|\[(?P<ipv6>[0-9A-Fa-f:.]+)\]:)?(?P<port>[0-9]{1,5})")
ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9_-]*:\S.*")


def endpoint(listen: str) -> str:
    """Return the server endpoint description of ``4567``, ``127.0.0.1:4567``, ``[::1]:4567``, or of an endpoint itself.

    Raises ValueError for anything else; the text says what was expected.
    """
    text = listen.strip()
    address = ADDRESS.fullmatch(text)
    if address is None or address["host"] in SCHEMES:
        if ENDPOINT.fullmatch(text):
            return text
        raise ValueError(f"expected {MEANT}")
    port = int(address["port"])
    if port > 65535:
        raise ValueError("expected a port of at most 65535")
    if address["ipv6"]:
        return f"tcp6:{port}:interface={_escaped(address['ipv6'])}"
    return f"tcp:{port}:interface={address['host']}" if address["host"] else f"tcp:{port}"


def _escaped(text: str) -> str:
    try:
        return str(ipaddress.IPv6Address(text)).replace(":", r"\:")
    except ValueError as error:
        raise ValueError("expected an IPv6 address between the brackets") from error
