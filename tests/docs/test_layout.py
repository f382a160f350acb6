"""Rules about the source that import-linter does not check."""

import re
from collections import defaultdict

import pytest

from .book import ROOT

CLASS = re.compile(r"^(?:export )?class (\w+)", re.MULTILINE)


@pytest.mark.parametrize("language", ["py", "js"])
def test_a_class_name_exists_once(language: str) -> None:
    places = defaultdict(list)
    for path in sorted((ROOT / "vmpooler").rglob(f"*.{language}")):
        for name in CLASS.findall(path.read_text(encoding="utf-8")):
            places[name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}
