"""The JSON of an event, for subscribers and in details. See docs/events.md."""

from typing import Any

import attrs

from vmpooler.domain.events import Event, sentence


def to_json(event: Event) -> dict[str, Any]:
    """Return the members of an event as clients get them."""
    return attrs.asdict(event) | {"more": dict(event.more), "text": sentence(event)}
