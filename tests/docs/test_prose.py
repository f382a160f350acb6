"""Docstrings, comments and pages use plain technical English: the words that CONTRIBUTING.md lists are not in them.

The same holds for names and strings.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from .book import PAGES, ROOT

TOPS = ("vmpooler", "tests", "benchmarks")

BANNED = ("told", "tells", "whoever", "borne", "of so many", "it were", "by and by")
NAMES = {
    *("told", "tell", "tells", "teller", "heard", "hears", "unheard", "begun", "whoever", "borne", "doom"),
    *("torment", "torments", "tormentor", "undertaker", "reign", "forgery"),
}
"""Words that are refused in source files, also as parts of names and in strings. This file is skipped."""

PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""The words of a name, such as ``all_events`` or ``allEvents``."""

WORDS = re.compile(rf"\b(?:{'|'.join(map(re.escape, BANNED))})\b", re.IGNORECASE)
QUOTED = re.compile(r"```.*?```|``.*?``|`[^`]*`|\"[^\"\n]*\"", re.DOTALL)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a module, with the lines that they begin in."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(words))):
                yield node.lineno, words
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_no_docstring_and_no_comment_uses_a_banned_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for top in TOPS
        for path in sorted((ROOT / top).rglob("*.py"))
        for line, words in prose(path)
        for word in WORDS.findall(QUOTED.sub("", words))
    ]
    assert found == []


def test_no_script_uses_a_banned_word_in_a_comment() -> None:
    scripts = sorted((ROOT / "vmpooler").rglob("*.lua"))
    comments = [(path.name, line) for path in scripts for line in re.findall(r"--.*$", path.read_text(), re.MULTILINE)]
    assert [(name, line) for name, line in comments if WORDS.search(QUOTED.sub("", line))] == []


def test_no_page_uses_a_banned_word() -> None:
    assert {name: found for name, text in PAGES.items() if (found := WORDS.findall(QUOTED.sub("", text)))} == {}


def test_the_guide_lists_every_banned_word() -> None:
    assert [word for word in sorted({*BANNED, *NAMES}) if f'"{word}"' not in PAGES["CONTRIBUTING.md"]] == []


@pytest.mark.parametrize("top", TOPS)
def test_no_name_and_no_string_uses_a_banned_word(top: str) -> None:
    kinds = (".py", ".js", ".lua", ".html")
    sources = [path for path in sorted((ROOT / top).rglob("*")) if path.suffix in kinds and path != Path(__file__)]
    assert sources
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in PARTS.findall(line)
        if word.lower() in NAMES
    ]
    assert found == []
