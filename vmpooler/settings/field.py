"""A field that an operator can set."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs


def setting(
    text: str,
    default: Any = attrs.NOTHING,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    words: Mapping[str, int] = MappingProxyType({}),
    pattern: str | None = None,
    secret: bool = False,
    path: bool = False,
    inherits: bool | str = False,
    variable: str = "",
    part: type | None = None,
) -> Any:
    """A field that an operator can set.

    ``text`` is one sentence for the operator. A ``secret`` is never printed, and may come from ``<name>_file``
    or the environment. A relative ``path`` starts from the folder of the configuration file, or from the working
    directory when the configuration came by the environment; it is made absolute. ``inherits``: a pool without it
    takes the value of the same name, or of this one, under ``config``. ``variable``: the name of a secret in the
    environment, where it is not the usual one. ``words`` may stand in place of a number, and mean what they map to.
    ``part``: the class of a section within the section; None when it is not there.
    """
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices, "words": words, "pattern": pattern}
    flags = {"secret": secret, "path": path, "inherits": inherits}
    kinds = {"variable": variable, "part": part}
    return attrs.field(default=default, repr=not secret, metadata={"text": text, **limits, **flags, **kinds})
