"""Mistakes and warnings about a configuration, and how messages show its values."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import attrs

from vmpooler.domain.errors import ConfigError

NOT_SERVED = "not served by this version, ignored"
MAX_SHOWN = 40
"""Maximum number of characters of a value or a key in a message."""


@attrs.frozen
class Report:
    """Collects mistakes and warnings, each with its path in the file, until all can be reported at once."""

    _mistakes: list[str] = attrs.field(factory=list, init=False)
    _warnings: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    _secrets: list[str] = attrs.field(factory=list, init=False)

    def mistake(self, path: str, text: str) -> None:
        """Add a mistake: the configuration cannot be used."""
        self._mistakes.append(f"{path}: {text}")

    def warn(self, path: str, text: str) -> None:
        """Add a warning for the operator."""
        self._warnings.append((path, text))

    def secret(self, path: str) -> None:
        """Add the path of a secret that is in the text itself."""
        self._secrets.append(path)

    def secrets(self) -> tuple[str, ...]:
        """Return the paths of the secrets that are in the text itself."""
        return tuple(self._secrets)

    def raise_mistakes(self) -> None:
        """Raise ConfigError with all mistakes, or return if there are none."""
        if self._mistakes:
            raise ConfigError(self._mistakes)

    def warnings(self) -> tuple[str, ...]:
        """Return all warnings. The same warning for several entries of a list is returned once, with their number."""
        alike: dict[tuple[str, str], list[str]] = {}
        for path, text in self._warnings:
            alike.setdefault((re.sub(r"\[\d+\]", "[]", path), text), []).append(path)
        return tuple(f"{_first_of(paths)}: {text}" for (_, text), paths in alike.items())


def _first_of(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more like it"


def shown(value: object) -> str:
    """Return a value of the file for a message; only the kind of a list or mapping, which may contain secrets."""
    match value:
        case None:
            return "nothing"
        case str():
            return repr(value if len(value) <= MAX_SHOWN else value[:MAX_SHOWN] + "…")
        case list():
            return "a list"
        case _:
            return "a mapping"


def key_shown(key: str) -> str:
    """Return a key as part of a path: unchanged if it has only harmless characters, else quoted."""
    return key if re.fullmatch(rf"[\w.-]{{1,{MAX_SHOWN}}}", key) else shown(key)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean …?`` with the known name that is most similar; empty if none is similar."""
    close = get_close_matches(name[:MAX_SHOWN], list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
