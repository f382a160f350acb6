"""The page about the API contains what openapi.yaml says, and its examples return the responses on the page."""

import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from vmpooler.web.http.errors import STATUS
from vmpooler.web.routes.openapi import document
from vmpooler.web.views.openapi_page import operations

from .book import PAGES, blocks, only
from .conftest import Service, serving
from .reference import PLACE, filled, generated

MARK = "--- next ---"

NAMES = {r"vm-\w{15}": "VM", r"[a-y][a-z0-9]{31}": "TOKEN"}
"""Patterns of generated member names, and what each stands for."""


@pytest.fixture
def protected(tmp_path: Path, commands: list[list[str]]) -> Iterator[Service]:
    """The service of the page, with authentication and with all its pools full."""
    (tmp_path / "vmpooler.yaml").write_text(only("README.md", "yaml", "pools:") + "auth: {provider: dummy}\n")
    with serving(tmp_path, commands[-1]) as service:
        yield service.full()


def shape(value: Any) -> Any:
    """Return the structure of a reply without its values: names of members, and types."""
    match value:
        case dict():
            return {name_of(name): shape(member) for name, member in value.items()}
        case list():
            return [shape(member) for member in value[:1]]
        case bool() | str():
            return type(value).__name__
        case _:
            return "number"


def name_of(name: str) -> str:
    return next((kind for pattern, kind in NAMES.items() if re.fullmatch(pattern, name)), name)


def examples() -> Iterator[tuple[str, str | None]]:
    """Yield each block of commands on the page, with the JSON response that follows it; None without one."""
    found = blocks("api.md")
    for block, following in zip_longest(found, found[1:]):
        if block.kind == "sh":
            yield block.text, following.text if following and following.kind == "json" else None


def test_it_has_every_operation_of_the_openapi_document_as_it_is_there() -> None:
    identifiers = {item[method]["operationId"] for _, method, item in operations(document())}
    assert identifiers <= {name for _, name, _ in PLACE.findall(PAGES["api.md"])}
    assert filled(PAGES["api.md"]) == PAGES["api.md"], "openapi.yaml has changed: python -m tests.docs.reference"


def test_it_has_every_status_of_an_error() -> None:
    described = {int(status) for status in re.findall(r"\b[45]\d\d\b", generated("info") + generated("statuses"))}
    assert described == {413, 414, 429, 431, 500, *STATUS.values()}


@pytest.mark.needs("curl")
def test_every_example_answers_as_it_says(protected: Service) -> None:
    found = list(examples())
    answers = protected.run(f"echo; echo '{MARK}'\n".join(commands for commands, _ in found)).split(MARK)
    assert sum(promised is not None for _, promised in found) == len(blocks("api.md", "json"))
    for (commands, promised), answer in zip(found, answers, strict=True):
        if promised is None:
            assert '"ok": false' not in answer, f"{commands}{answer}"
        else:
            assert shape(json.loads(answer)) == shape(json.loads(promised)), f"{commands}{answer}"
