"""The page about the configuration contains every setting of settings/, and its examples load."""

import re

import attrs
import pytest

from vmpooler.config import load
from vmpooler.settings import Settings

from .book import PAGES, ROOT, blocks
from .tables import SECTIONS, filled

PAGE = PAGES["configuration.md"]


def test_it_has_every_setting_with_its_sentence_and_default() -> None:
    assert set(re.findall(r"^<!-- settings: (\w+) -->$", PAGE, re.MULTILINE)) == set(SECTIONS)
    assert filled(PAGE) == PAGE, "settings/ has changed: python -m tests.docs.tables"
    assert attrs.fields(Settings).tagfilter.metadata["text"].rstrip(".") in " ".join(PAGE.split())


@pytest.mark.parametrize("text", [block.text for block in blocks("configuration.md", "yaml")])
def test_its_examples_load(text: str) -> None:
    text += "" if re.search(r"^:?pools:", text, re.MULTILINE) else "pools: [{name: debian, size: 1}]\n"
    text += "" if re.search(r"^:?providers:", text, re.MULTILINE) else "providers: {dummy: {}}\n"
    assert load(text, environ={}, base=ROOT).settings.pools
