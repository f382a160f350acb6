"""Every section that the code cites exists in docs/compatibility.md."""

import re
from collections.abc import Iterator

from .book import PAGES, ROOT

PAGE = "compatibility.md"
CITED = re.compile(rf"docs/{re.escape(PAGE)}#([a-z-]+)")


def citations() -> Iterator[tuple[str, str]]:
    """Yield each file that cites the page, with the section that it cites."""
    for top in ("vmpooler", "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for section in CITED.findall(path.read_text(encoding="utf-8")):
                yield str(path.relative_to(ROOT)), section


def test_every_section_that_the_code_cites_is_there_and_every_section_is_cited() -> None:
    titles = re.findall(r"^## (.+)$", PAGES[PAGE], re.MULTILINE)
    sections = {title.lower().replace(" ", "-") for title in titles}
    assert [citation for citation in citations() if citation[1] not in sections] == []
    assert sections == {section for _, section in citations()}


def test_every_source_is_in_the_repository() -> None:
    for path in sorted((ROOT / "vmpooler").rglob("*.py")):
        for source in re.findall(r"Source: (\S+)", path.read_text(encoding="utf-8")):
            named = source.partition("#")[0].rstrip(".,")
            assert (ROOT / named).is_file(), f"{path}: {source}"
