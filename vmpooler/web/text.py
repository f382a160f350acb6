"""JSON as clients send it and as they read it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from vmpooler.domain.errors import Invalid

Json = Mapping[str, Any] | Sequence[Any]

HEADERS = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
"""What every reply says of itself."""


def of(reply: Json) -> bytes:
    """A reply, pretty-printed: clients scrape its lines. Source: CLIENTS.md 3, trap 2."""
    return json.dumps(reply, indent=2, ensure_ascii=False).encode("utf-8", "replace")


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
