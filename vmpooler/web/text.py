"""JSON as clients send it and as they read it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import orjson

from vmpooler.domain.errors import Invalid

Json = Mapping[str, Any] | Sequence[Any]

HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
"""What every reply says of itself."""

HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
"""The same as it is sent."""


PRETTY = json.JSONEncoder(indent=2, ensure_ascii=False)
"""Clients scrape its lines. Source: CLIENTS.md 3, trap 2."""


def of(reply: Json) -> bytes:
    """A reply, pretty-printed."""
    try:
        return orjson.dumps(reply, option=orjson.OPT_INDENT_2)
    except TypeError:  # text that is not valid Unicode, numbers of more than 64 bits
        return PRETTY.encode(reply).encode("utf-8", "replace")


def parts(reply: Mapping[str, Any]) -> Iterator[bytes]:
    """The same in parts, for a reply that may be large: its members, and of one that is a list, each entry."""
    before = b"{"
    for name, value in reply.items():
        yield before + b"\n  " + of(name) + b": "
        yield from _entries(value) if isinstance(value, list) and value else [_within(value, 1)]
        before = b","
    yield b"\n}"


def _entries(values: list[Json]) -> Iterator[bytes]:
    before = b"["
    for value in values:
        yield before + b"\n    " + _within(value, 2)
        before = b","
    yield b"\n  ]"


def _within(value: Json, depth: int) -> bytes:
    """A value as it stands within others. No text in it has an end of a line that is not written as two characters."""
    return of(value).replace(b"\n", b"\n" + b"  " * depth)


def parsed(body: bytes) -> Any:
    """What a body means, whatever type it was sent under. Raises Invalid."""
    try:
        return json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    except ValueError:
        raise Invalid("the body is not JSON") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
