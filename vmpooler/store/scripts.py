"""The Lua scripts in ``lua/``: one script is one transition."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

import attrs

USES_PRELUDE = "-- uses: prelude"
"""The first line of a script that wants ``_prelude.lua`` in front of itself."""


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
    source = _text(name)
    if source.partition("\n")[0].rstrip() == USES_PRELUDE:
        source = _text("_prelude") + "\n" + source
    return Script(name, source)


def _text(name: str) -> str:
    return files("vmpooler.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
