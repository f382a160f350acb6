"""Server-sent events as bytes. See docs/events.md."""

import json
from typing import Any

import attrs

from vmpooler.domain.events import Event
from vmpooler.log import line
from vmpooler.web.text import Json

RETRY = b"retry: 2000\n\n"
"""Comes first, so that the headers leave at once: milliseconds after which a client comes back."""

COMMENT = b":\n\n"

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact(reply: Json) -> bytes:
    """JSON on one line."""
    return _COMPACT.encode(reply).encode("utf-8", "replace")


def told(event: Event) -> dict[str, Any]:
    """An event as it is told."""
    text = line(event)[len("[x] ") :].removeprefix(f"[{event.pool}] ")
    return attrs.asdict(event) | {"more": dict(event.more), "text": text}


def frame(id: str, kind: str, data: Json) -> bytes:
    """One event of the protocol; ``id`` is what its client comes back with."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), kind.encode(), compact(data))


def framed(event: Event) -> bytes:
    """The frame that tells of an event."""
    return frame(event.id, "event", told(event))
