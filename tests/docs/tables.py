"""The tables of docs/configuration.md, built from the settings. ``python -m tests.docs.tables`` rewrites them."""

import re
from typing import Any

import attrs

from vmpooler import settings
from vmpooler.providers.plugins import installed

from .book import ROOT

PAGE = ROOT / "docs" / "configuration.md"

SECTIONS: dict[str, type[attrs.AttrsInstance]] = {
    kind.__name__: kind
    for kind in (*vars(settings).values(), *(driver.settings for driver in installed().usable().values()))
    if isinstance(kind, type) and attrs.has(kind) and attrs.fields(kind) and kind is not settings.Settings
}
"""The classes of the sections, by name."""


def filled(page: str) -> str:
    """Return the page with every table rebuilt."""
    return re.sub(
        r"^(<!-- settings: (\w+) -->)\n\n(?:(?:\|.*\n)+\n?)*",
        lambda place: f"{place[1]}\n\n{table(SECTIONS[place[2]])}\n",
        page,
        flags=re.MULTILINE,
    )


def table(section: type[attrs.AttrsInstance]) -> str:
    """Return the table of a section, with one row for each setting."""
    rows = [f"| `{field.name}` | {default(field)} | {meaning(field)} |" for field in attrs.fields(section)]
    return "\n".join(["| setting | default | what it says |", "| --- | --- | --- |", *rows, ""])


def default(field: Any) -> str:
    """Return the text of the value that applies when the file does not contain the setting."""
    if field.metadata["inherits"]:
        return "that of `config`"
    match field.default:
        case attrs.NOTHING:
            return "required"
        case None:
            return "none"
        case "":
            return '`""`'
        case bool():
            return f"`{str(field.default).lower()}`"
        case tuple():
            return f"`{list(field.default)}`"
        case _:
            return f"`{field.default}`"


def meaning(field: Any) -> str:
    """Return the description of a setting, with a note on a secret."""
    known = field.metadata
    secret = f" Or `{field.name}_file`, a file that holds it." if known["secret"] else ""
    return f"{known['text']}{secret}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
