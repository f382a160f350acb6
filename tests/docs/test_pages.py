"""Files, make targets, settings and log marks that the pages name exist."""

import re

import attrs
import pytest

from vmpooler.domain.events import PHRASES
from vmpooler.settings import General, Redis

from .book import PAGES, ROOT

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
TOPS = ("benchmarks", "docs", "tests", "vmpooler")
FILES = ["findings", *(path.relative_to(ROOT).as_posix() for top in TOPS for path in (ROOT / top).rglob("*"))]
CODE = re.compile(r"`([^`\n]+)`")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_is_there(page: str) -> None:
    folder = ROOT if (ROOT / page).exists() else ROOT / "docs"
    for path, anchor in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", PAGES[page]):
        target = folder / path if path else folder / page
        assert target.exists(), path
        if not anchor:
            continue
        titles = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
        names = [re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles]
        assert anchor in names, anchor


@pytest.mark.parametrize("page", PAGES)
def test_the_make_targets_it_names_are_there(page: str) -> None:
    assert set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\s])", " ".join(CODE.findall(PAGES[page])) + " ")) <= TARGETS
    assert set(re.findall(r"^make ([a-z-]+)", PAGES[page], re.MULTILINE)) <= TARGETS


@pytest.mark.parametrize("page", PAGES)
def test_the_files_it_names_are_there(page: str) -> None:
    named = re.findall(
        r"(?<![\w/.{<])([a-z_]+(?:/[a-z_]+)*(?:\.py|\.lua|/))(?![\w{])", " ".join(CODE.findall(PAGES[page]))
    )
    assert [name for name in named if not any(f"/{file}".endswith(f"/{name.rstrip('/')}") for file in FILES)] == []


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_it_names_are_there(page: str) -> None:
    for section, name in re.findall(r"`(config|redis)\.([a-z_]+)[`:]", PAGES[page]):
        assert name in attrs.fields_dict({"config": General, "redis": Redis}[section])


def test_every_mark_of_the_log_is_explained() -> None:
    marks = {phrase[:3] for phrase in PHRASES.values()}
    assert marks | {"[*]"} == set(re.findall(r"^\| `(\[.\])` \|", PAGES["operations.md"], re.MULTILINE))


def test_the_picture_of_the_rooms_has_every_room() -> None:
    inside = [path for path in (ROOT / "vmpooler").glob("[a-z]*") if path.suffix in ("", ".py")]
    rooms = {f"{path.name}/" if path.is_dir() else path.name for path in inside}
    picture = PAGES["architecture.md"].split("```")[1]
    assert {*re.findall(r"[a-z]+(?:/|\.py)", picture)} == rooms | {"vsphere/", "dummy/"}
