"""The page about the API: it has every route, and its examples answer as it says."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from twisted.internet import reactor

from vmpooler.settings import Redis, Settings
from vmpooler.store.connection import Connection
from vmpooler.web.app import Api
from vmpooler.web.json_app import STATUS

from .book import PAGES, blocks, headings
from .conftest import Service

MARK = "--- next ---"


def shape(value: Any) -> Any:
    """What there is in a reply, whatever it is: members by name, kinds of values."""
    match value:
        case dict():
            return {re.sub(r"^vm-\w{15}$", "VM", name): shape(member) for name, member in value.items()}
        case list():
            return [shape(member) for member in value[:1]]
        case bool() | str():
            return type(value).__name__
        case _:
            return "number"


def test_it_has_every_route_and_no_other() -> None:
    api = Api(Settings(), Connection(Redis(), reactor), reactor)
    routes: Any = api.site().resource._routes._app.url_map
    served = {f"{method} {rule.rule}" for rule in routes.iter_rules() for method in rule.methods - {"HEAD"}}
    assert {heading for heading in headings("api.md", 2) if "/" in heading} == served


def test_it_has_every_status() -> None:
    told = {int(status) for status in re.findall(r"^\| (\d{3}) \|", PAGES["api.md"], re.MULTILINE)}
    assert told == {200, 202, 413, 500, *STATUS.values()}


@pytest.mark.needs("curl")
def test_every_example_answers_as_it_says(service: Service) -> None:
    found = blocks("api.md")
    examples = [(first.text, second.text) for first, second in pairwise(found) if second.kind == "json"]
    assert len(examples) == len([block for block in found if block.kind == "json"])
    script = f"echo; echo '{MARK}'\n".join([blocks("api.md", "sh")[0].text, *(commands for commands, _ in examples)])
    _, *answers = service.run(script).split(MARK)
    for (commands, promised), answer in zip(examples, answers, strict=True):
        assert shape(json.loads(answer)) == shape(json.loads(promised)), f"{commands}{answer}"
