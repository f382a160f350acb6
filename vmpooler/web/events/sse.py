"""Server-sent events (SSE) as bytes. See docs/events.md."""

import json
from typing import Any

import attrs

from vmpooler.domain.events import Event
from vmpooler.log import line
from vmpooler.web.http.json import Json

RETRY = b"retry: 2000\n\n"
"""Sent first, so that the headers are sent at once. The value is the milliseconds after which a client reconnects."""

COMMENT = b":\n\n"

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def compact(reply: Json) -> bytes:
    """Encode JSON on one line."""
    return _COMPACT.encode(reply).encode("utf-8", "replace")


def to_json(event: Event) -> dict[str, Any]:
    """Return the members of an event as clients get them."""
    text = line(event)[len("[x] ") :].removeprefix(f"[{event.pool}] ")
    return attrs.asdict(event) | {"more": dict(event.more), "text": text}


def frame(id: str, kind: str, data: Json) -> bytes:
    """Return one SSE event; its client sends ``id`` when it reconnects."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (id.encode(), kind.encode(), compact(data))


def framed(event: Event) -> bytes:
    """Return the SSE frame of an event."""
    return frame(event.id, "event", to_json(event))
