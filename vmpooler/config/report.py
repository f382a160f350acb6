"""What there is to say about a configuration."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

import attrs

from vmpooler.domain.errors import ConfigError

NOT_SERVED = "not served by this version, ignored"
MAX_SHOWN = 40
"""How many characters of a value or a key a message shows."""


@attrs.frozen
class Report:
    """Collects mistakes and warnings, each with its path in the file, until all can be reported at once."""

    _mistakes: list[str] = attrs.field(factory=list, init=False)
    _warnings: list[tuple[str, str]] = attrs.field(factory=list, init=False)
    _secrets: list[str] = attrs.field(factory=list, init=False)

    def mistake(self, path: str, text: str) -> None:
        """Note what makes the configuration unusable."""
        self._mistakes.append(f"{path}: {text}")

    def warn(self, path: str, text: str) -> None:
        """Note what the operator should know of."""
        self._warnings.append((path, text))

    def secret(self, path: str) -> None:
        """Note that a secret stands here."""
        self._secrets.append(path)

    def secrets(self) -> tuple[str, ...]:
        """Where secrets stand."""
        return tuple(self._secrets)

    def raise_mistakes(self) -> None:
        """Raise ConfigError with all mistakes, if there are any."""
        if self._mistakes:
            raise ConfigError(self._mistakes)

    def warnings(self) -> tuple[str, ...]:
        """Every warning; one that holds for many entries of a list is reported once, with their number."""
        alike: dict[tuple[str, str], list[str]] = {}
        for path, text in self._warnings:
            alike.setdefault((re.sub(r"\[\d+\]", "[]", path), text), []).append(path)
        return tuple(f"{_first_of(paths)}: {text}" for (_, text), paths in alike.items())


def _first_of(paths: list[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more like it"


def shown(value: object) -> str:
    """A value of the file as a message may show it: of lists and mappings only the kind, for secrets may be inside."""
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
    """A key as part of a path: as it is when that is harmless, else quoted."""
    return key if re.fullmatch(rf"[\w.-]{{1,{MAX_SHOWN}}}", key) else shown(key)


def nearest(name: str, known: Iterable[str]) -> str:
    """``; did you mean …?`` with the known name most like ``name``, or nothing when none is."""
    close = get_close_matches(name[:MAX_SHOWN], list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
