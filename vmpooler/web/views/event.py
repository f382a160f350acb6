"""The JSON of an event, for subscribers and in details. See docs/events.md."""

from typing import Any

import attrs

from vmpooler.domain.events import Event
from vmpooler.log import line


def to_json(event: Event) -> dict[str, Any]:
    """Return the members of an event as clients get them."""
    text = line(event)[len("[x] ") :].removeprefix(f"[{event.pool}] ")
    return attrs.asdict(event) | {"more": dict(event.more), "text": text}
