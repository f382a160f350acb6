"""Reads the documents for tests."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    text: str


def blocks(page: str, kind: str = "") -> list[Block]:
    """Return the fenced blocks of a page: all of them, or those of one kind."""
    found = [Block(*match) for match in re.findall(r"^```(\w+)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)]
    return [block for block in found if kind in ("", block.kind)]


def only(page: str, kind: str, having: str) -> str:
    """Return the text of the only block of this kind that contains ``having``."""
    (text,) = (block.text for block in blocks(page, kind) if having in block.text)
    return text
