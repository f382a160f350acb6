"""What a client may change on its VM: the lifetime, and tags."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Self

import attrs

from vmpooler.domain.errors import Unfit
from vmpooler.settings import Settings

MAX_NUMBER = 10**15 - 1
"""The largest number that a client can send: a larger one counts as this one."""

VALUE_MOST = 1024
"""Maximum bytes of a tag value."""

NAME_MOST = 100
"""Maximum characters of a tag name."""

TAGS_MOST = 100
"""Maximum number of tags in one request."""

TEXT_MOST = 300
"""Maximum characters of the text that describes a change."""

NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
NOT_IN_VALUES = re.compile(r"[\ud800-\udfff]")


@attrs.frozen
class Change:
    """A lifetime in hours (None to leave it unchanged), and tags to add or to overwrite."""

    lifetime: int | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict)

    def __str__(self) -> str:
        """Return what is set, as text for people; empty if nothing is set."""
        hours = [] if self.lifetime is None else [f"lifetime {self.lifetime} hours"]
        text = ", ".join([*hours, *(f"{name}={value}" for name, value in self.tags.items())])
        return text if len(text) <= TEXT_MOST else text[:TEXT_MOST] + "…"


@attrs.frozen
class ChangeRules:
    """What an operator allows.

    ``allowed``: the permitted tag names (all if empty). ``filters``: which part of a tag's value is kept, by tag name.
    ``longest``: the longest lifetime in hours (0 for no limit).
    """

    allowed: tuple[str, ...] = ()
    filters: Mapping[str, re.Pattern[str]] = attrs.field(factory=dict)
    longest: float = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the rules that the settings define."""
        general = settings.general
        return cls(general.allowed_tags, settings.tagfilter, general.max_lifetime_upper_limit)


def number_of(value: object) -> int | None:
    """Return the integer that a number means, or text that begins with one: 0 to MAX_NUMBER, 0 if it contains none.

    None for a value that cannot mean a number: true, false, a list, an object. Source: docs/compatibility.md#checkout.
    """
    match value:
        case None:
            return 0
        case bool() | list() | dict():
            return None
        case int() | float():
            return int(max(0, min(value, MAX_NUMBER)))
        case _:
            digits = re.match(r"\s*\+?(\d[\d_]*)", str(value), re.ASCII)
            return min(MAX_NUMBER, int(digits[1].replace("_", "")[:20])) if digits else 0


def change_of(body: object, rules: ChangeRules) -> Change:
    """Return the change that a request body asks for.

    Raises Unfit with everything that is wrong. Source: docs/compatibility.md#vm-changes.
    """
    if not isinstance(body, dict) and body != []:
        raise Unfit(["expected an object with lifetime or tags"])
    asked: dict[str, Any] = dict(body)
    lives, tags = "lifetime" in asked, asked.get("tags", {})
    failures = [f"unknown argument {_shown(name)}" for name in asked if name not in ("lifetime", "tags")]
    failures += _wrong_lifetime(asked["lifetime"], rules.longest) if lives else ()
    failures += _wrong_tags(tags, rules.allowed)
    if failures:
        raise Unfit(failures, lifetime=lives)
    return Change(number_of(asked["lifetime"]) if lives else None, _kept(tags, rules.filters))


def _wrong_lifetime(given: object, longest: float) -> Iterator[str]:
    hours = number_of(given)
    if not hours:
        yield f"lifetime: expected a positive number of hours, got {_shown(given)}"
    elif 0 < longest < hours:
        yield f"lifetime: {_shown(given)} hours exceed the limit of {longest:g}"


def _wrong_tags(tags: object, allowed: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(tags, dict):
        yield "tags: expected an object"
        return
    if len(tags) > TAGS_MOST:
        yield f"tags: at most {TAGS_MOST} can be set at once"
        return
    for name, value in tags.items():
        if allowed and name not in allowed:
            yield f"tag {_shown(name)} is not allowed"
        elif not name or len(name) > NAME_MOST or NOT_IN_NAMES.search(name):
            yield f"tag {_shown(name)}: expected a name of 1 to {NAME_MOST} characters"
        elif isinstance(value, list | dict):
            yield f"tag {name}: expected text"
        elif NOT_IN_VALUES.search(text := _text(value)):
            yield f"tag {name}: not valid Unicode"
        elif len(text.encode()) > VALUE_MOST:
            yield f"tag {name}: longer than {VALUE_MOST} bytes"


def _kept(tags: Mapping[str, object], filters: Mapping[str, re.Pattern[str]]) -> dict[str, str]:
    """Return the tags with their filtered values. A tag whose value is empty is dropped."""
    kept = {name: _text(value) for name, value in tags.items()}
    for name in kept.keys() & filters.keys():
        if found := filters[name].search(kept[name]):
            kept[name] = "".join(found.groups(""))
    return {name: value for name, value in kept.items() if value}


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case _:
            return json.dumps(value)


def _shown(value: object) -> str:
    text = "a list or an object" if isinstance(value, list | dict) else json.dumps(value)
    return text if len(text) <= NAME_MOST else text[:NAME_MOST] + "…"
