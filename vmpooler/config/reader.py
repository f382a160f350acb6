"""Reads a section of the file into the class of its settings."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import attrs

from vmpooler.config.document import plain
from vmpooler.config.report import NOT_SERVED, Report, key_shown, nearest, shown
from vmpooler.config.ruby_vmpooler import KEYS
from vmpooler.config.source import exposed
from vmpooler.config.values import Wrong, convert

Section = TypeVar("Section", bound=attrs.AttrsInstance)


@attrs.frozen
class Reader:
    """Reads sections by the metadata of the fields in their classes. Relative paths start from ``base``.

    The methods do not raise. A mistake is added to ``report``, and the setting is None in the section that is returned,
    so that later mistakes are found too.
    """

    environ: Mapping[str, str]
    base: Path
    report: Report

    def mapping(self, raw: object, path: str) -> dict[str, object] | None:
        """Return the mapping at ``path`` with plain keys; empty if it is missing, None if it is not a mapping."""
        if raw is None:
            return {}
        if isinstance(raw, dict):
            return {plain(str(key)): value for key, value in raw.items()}
        got = "text" if isinstance(raw, str) else shown(raw)
        self.report.mistake(path, f"expected a mapping, got {got}")
        return None

    def section(
        self, kind: type[Section], raw: object, path: str, parent: object = None, ignored: Collection[str] = ()
    ) -> Section:
        """Return the section of class ``kind`` at ``path``.

        ``parent`` has the values that it may inherit. Each key in ``ignored`` that is no setting is a warning.
        """
        fields = attrs.fields(kind)
        given = self.mapping(raw, path)
        if given is None:
            return kind(**{field.name: None for field in fields})
        self._check_keys(kind, given, path, KEYS.get(kind, ignored))
        types = get_type_hints(kind)
        return kind(**{field.name: self._value(field, types[field.name], given, path, parent) for field in fields})

    def _check_keys(
        self, kind: type[attrs.AttrsInstance], given: Mapping[str, object], path: str, ignored: Collection[str]
    ) -> None:
        fields = attrs.fields_dict(kind)
        files = {f"{name}_file" for name, field in fields.items() if field.metadata["secret"]}
        for key in given:
            if key in fields or key in files:
                continue
            if key in ignored:
                self.report.warn(f"{path}.{key}", NOT_SERVED)
            else:
                self.report.mistake(f"{path}.{key_shown(key)}", "unknown key" + nearest(key, [*fields, *files]))

    def _value(self, field: Any, kind: Any, given: Mapping[str, object], path: str, parent: object) -> Any:
        raw = self._secret(field, given, path) if field.metadata["secret"] else given.get(field.name)
        path = f"{path}.{field.name}"
        if field.metadata["part"] is not None:
            return None if raw is None else self.section(field.metadata["part"], raw, path)
        if raw is None and field.metadata["inherits"]:
            named = field.metadata["inherits"]
            return getattr(parent, field.name if named is True else named)
        if raw is None and field.default is attrs.NOTHING:
            self.report.mistake(path, "must be given")
            return None
        value = field.default if raw is None else self._typed(field, kind, raw, path)
        return str(self.base / value) if field.metadata["path"] and value else value

    def _typed(self, field: Any, kind: Any, raw: object, path: str) -> Any:
        if kind == tuple[str, ...]:
            if isinstance(raw, list):
                return tuple(self._typed(field, str, item, f"{path}[{index}]") for index, item in enumerate(raw))
            return (self._typed(field, str, raw, path),)
        try:
            return convert(raw, kind, field.metadata)
        except Wrong as wrong:
            got = "" if field.metadata["secret"] else f", got {shown(raw)}"
            self.report.mistake(path, f"expected {wrong}{got}")
            return None

    def _secret(self, field: Any, given: Mapping[str, object], path: str) -> object:
        """Return a secret: from the environment, or else from the file."""
        name = field.name
        own, file = given.get(name), given.get(f"{name}_file")
        if own is not None and file is not None:
            self.report.mistake(f"{path}.{name}_file", f"{name} is given too; keep one of them")
            return None
        if own:
            self.report.secret(f"{path}.{name}")
        owner = path.removeprefix("providers.")
        variable = re.sub("[^A-Z0-9]", "_", f"VMPOOLER_{owner}_{name}".upper())
        if value := self.environ.get(field.metadata["variable"] or variable):
            return value
        return own if file is None else self._content(file, f"{path}.{name}_file")

    def _content(self, file: object, path: str) -> str | None:
        """Return the secret in a file, without the newline at its end."""
        text, trouble = "", f"expected the path of a file, got {shown(file)}"
        if isinstance(file, str):
            try:
                text = (self.base / file).read_text(encoding="utf-8").removesuffix("\n")
                trouble = f"{shown(file)} is empty"
                if text and (risk := exposed(self.base / file)):
                    self.report.warn(path.removesuffix("_file"), risk)
            except OSError as error:
                trouble = f"cannot read {shown(file)}: {error.strerror}"
            except ValueError:
                trouble = f"{shown(file)} is not a file of UTF-8 text"
        if not text:
            self.report.mistake(path, trouble)
        return text or None
