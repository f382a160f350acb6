"""Loads the Lua scripts in ``lua/``: one script makes one transition."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import attrs

from vmpooler.domain.model import Queue
from vmpooler.store import keys

USES = "-- uses: "
"""Prefix of the first line of a script that includes shared parts: ``-- uses: prelude, held``."""

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
"""Prefixes of keys that scripts build themselves, by their variable names in Lua."""

HEAD = f"local {', '.join(BEGINNINGS)} = {', '.join(repr(key) for key in BEGINNINGS.values())}"
"""The first line of every script as Redis runs it: the variables of BEGINNINGS."""

LASTING = ("checkout", "complete", "change", "request", "add_token", "drop_token")
"""Scripts whose effect is promised to clients, or ends a VM. With ``wait_replicas``, replicas must have the writes."""


@attrs.frozen
class Script:
    """A script as Redis runs it. ``sha`` is the SHA-1 digest under which Redis caches it."""

    name: str
    source: str = attrs.field(repr=False)
    sha: str = attrs.field(init=False)

    @sha.default
    def _digest(self) -> str:
        return hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


@cache
def load(name: str) -> Script:
    """Return the script in ``lua/<name>.lua``, with its shared parts in front."""
    own = _text(name)
    first = own.partition("\n")[0]
    uses = first.removeprefix(USES).split(", ") if first.startswith(USES) else []
    return Script(name, "\n".join([HEAD, *(_text(f"_{part}") for part in uses), own]))


@cache
def fenced(script: Script) -> Script:
    """Return the script with the fence for managers in front.

    The fenced script fails unless the value of its last key (the stored epoch) equals its last argument.
    """
    return Script(script.name, f"{_text('_fence')}\n{script.source}")


def _text(name: str) -> str:
    return files("vmpooler.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
