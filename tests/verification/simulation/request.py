"""A client's request: what it asks for, and what the client receives."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from vmpooler.domain.events import Event


@attrs.define(eq=False)
class Asking:
    """One request.

    ``kind`` names what it asks for: ``wanted`` VMs, or an action on ``vm``; ``argument`` is a tag, a snapshot, ...
    ``taken`` are the VMs that it took, ``ended`` those of them that were completed since, ``too_few``: not enough VMs
    were ready. ``events`` happened on its behalf. ``status`` and ``answer`` are what the client received; status 0
    means no response. ``crashed``: the process that received it ended, then or later. ``hung_up``: its client hung up
    before the response was complete. ``answered``: a complete response was sent. ``done``: when a command was last
    executed for it. ``lost``: Redis lost what it did.
    """

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
        """Whether the client received a response that it was done."""
        return 200 <= self.status < 300

    @property
    def answer_sent(self) -> bool:
        """Whether a response was sent that may have arrived, other than a 503 because Redis did not answer."""
        return self.answered and not self.weather

    @property
    def weather(self) -> bool:
        """Whether it was refused because Redis did not answer. Then its outcome is unknown."""
        return self.status == 503 and "message" in (self.answer or {})

    def bytes(self) -> bytes:
        """Return the bytes to send."""
        body = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {"Host": "sim", "Content-Length": str(len(body)), **self.headers}
        if self.token:
            headers["X-Auth-Token"] = self.token
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body
