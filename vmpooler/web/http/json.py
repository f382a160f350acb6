"""JSON: decodes the bodies of requests and encodes replies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import orjson

from vmpooler.domain.errors import Invalid

Json = Mapping[str, Any] | Sequence[Any]

HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
"""The headers of every reply in JSON."""

HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()
"""The same headers as bytes."""


PRETTY = json.JSONEncoder(indent=2, ensure_ascii=False)
"""Clients parse its lines. Source: docs/compatibility.md#client-traps."""

COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def of(reply: Json) -> bytes:
    """Encode a reply, pretty-printed."""
    try:
        return orjson.dumps(reply, option=orjson.OPT_INDENT_2)
    except TypeError:  # text that is not valid Unicode, or numbers of more than 64 bits
        return PRETTY.encode(reply).encode("utf-8", "replace")


def compact(reply: Json) -> bytes:
    """Encode data on one line."""
    return COMPACT.encode(reply).encode("utf-8", "replace")


def parts(reply: Mapping[str, Any]) -> Iterator[bytes]:
    """Encode a large reply in parts: one for each member, and one for each entry of a member that is a list."""
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
    """Encode a nested value. JSON escapes a line end in a text as two characters, so only the layout is indented."""
    return of(value).replace(b"\n", b"\n" + b"  " * depth)


def parsed(body: bytes) -> Any:
    """Decode a body as JSON, whatever its content type is. Raises Invalid."""
    try:
        return json.loads(body, parse_constant=_no_number)
    except RecursionError:
        raise Invalid("the body is nested too deeply") from None
    except ValueError:
        raise Invalid("the body is not JSON") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
