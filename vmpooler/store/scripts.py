"""The Lua scripts in ``lua/``: one script is one transition."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import attrs

from vmpooler.domain.model import Queue
from vmpooler.store import keys

USES = "-- uses: "
"""How the first line of a script begins that wants others in front of itself: ``-- uses: prelude, held``."""

BEGINNINGS = {
    "RECORD": keys.RECORD,
    "HISTORY": keys.HISTORY,
    "RUNNING": keys.queue(Queue.RUNNING, ""),
    "ACTIVE": keys.active(""),
    "TOKEN": keys.TOKEN,
    "TOKENS": keys.TOKENS,
    "HELD": keys.HELD,
    "BOOKED": keys.BOOKED,
}
"""The beginnings of keys whose rest only a script can know, by their names there."""

HEAD = f"local {', '.join(BEGINNINGS)} = {', '.join(repr(key) for key in BEGINNINGS.values())}"
"""What stands in front of every script."""

LASTING = ("checkout", "complete", "change", "request", "add_token", "drop_token")
"""What is promised to clients, or leads to the end of a VM: where the settings say so, replicas must have it."""


@attrs.frozen
class Script:
    """A script as Redis runs it; ``sha`` is the name that Redis knows it by."""

    name: str
    source: str = attrs.field(repr=False)
    sha: str = attrs.field(init=False)

    @sha.default
    def _digest(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@cache
def load(name: str) -> Script:
    """The script in ``lua/<name>.lua``."""
    own = _text(name)
    first = own.partition("\n")[0]
    uses = first.removeprefix(USES).split(", ") if first.startswith(USES) else []
    return Script(name, "\n".join([HEAD, *(_text(f"_{part}") for part in uses), own]))


@cache
def fenced(script: Script) -> Script:
    """The same for managers: it refuses unless its last key names the epoch that is its last argument."""
    return Script(script.name, f"{_text('_fence')}\n{script.source}")


def _text(name: str) -> str:
    return files("vmpooler.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
