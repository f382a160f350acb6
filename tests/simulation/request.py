"""A client's request: what it asks for, and what is heard of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from vmpooler.domain.events import Event


@attrs.define(eq=False)
class Asking:
    """One request. ``kind`` says what it wants: ``wanted`` VMs, or something of ``vm``; ``argument`` is a tag, a
    snapshot, ... ``taken`` are the VMs that it took, ``ended``
    those of them that were completed since, ``too_few``: there were not enough. ``events`` happened on its
    behalf. ``status`` and ``answer`` are what the client heard, 0 for nothing. ``crashed``: the process that it asked
    ended, then or later. ``hung_up``: its client did, before the answer was there. ``answered``: there was one.
    ``done``: when something was last done for it. ``lost``: Redis lost that."""

    number: int
    kind: str
    method: str
    path: str
    token: str = ""
    wanted: Mapping[str, int] = attrs.field(factory=dict)
    vm: str = ""
    argument: str = ""
    body: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    api: str = ""
    taken: list[str] = attrs.field(factory=list)
    ended: list[str] = attrs.field(factory=list)
    events: list[Event] = attrs.field(factory=list)
    too_few: bool = False
    crashed: bool = False
    hung_up: bool = False
    answered: bool = False
    lost: bool = False
    done: float = 0.0
    status: int = 0
    answer: Any = None

    def __str__(self) -> str:
        return f"request {self.number} ({self.method} {self.path}: {self.status or 'no answer'})"

    @property
    def succeeded(self) -> bool:
        """Whether the client has heard that it was done."""
        return 200 <= self.status < 300

    @property
    def heard_of(self) -> bool:
        """Whether its client was answered, or may be, and not that it is not known."""
        return self.answered and not self.weather

    @property
    def weather(self) -> bool:
        """Whether it was refused because Redis did not answer: what has come of it is not known."""
        return self.status == 503 and "message" in (self.answer or {})

    def bytes(self) -> bytes:
        """What is sent."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {"Host": "sim", "Content-Length": str(len(body)), **self.headers}
        if self.token:
            headers["X-Auth-Token"] = self.token
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body
