"""The OpenAPI document, and the page that displays it."""

import re
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import validate

from tests.web.conftest import Serve
from tests.web.test_vm import NO
from vmpooler import __version__
from vmpooler.web.http.router import Route
from vmpooler.web.routes.openapi import document
from vmpooler.web.views.openapi_page import operations, page

OPERATIONS = {f"{method.upper()} {path}" for path, method, _ in operations(document())}


class Tags(HTMLParser):
    """The element names, link targets and ids of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), "nothing runs on the page"
            assert name not in ("src", "style", "srcset")
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")


async def test_the_document_is_as_the_standard_says(serve: Serve) -> None:
    answer = await (await serve()).ask("GET", "/api/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["info"]["version"] == __version__
    validate(answer.json)


async def test_the_document_has_every_route_and_no_other(serve: Serve) -> None:
    routes = [row for row in (await serve()).api.routes if isinstance(row, Route) and not row.path.endswith(".css")]
    served = {re.sub("<.*?>", "{}", route.name) for route in routes}
    served.add("GET /events")  # a mount, not a route
    assert {re.sub("{.*?}", "{}", each.replace(" /api/v1/", " /")) for each in OPERATIONS} == served


@pytest.mark.parametrize("kind", ["parameters", "responses", "headers", "schemas"])
def test_every_part_of_the_document_is_of_use(kind: str) -> None:
    named = re.findall(rf"'#/components/{kind}/(\w+)'", str(document()))
    assert set(document()["components"][kind]) == set(named)


@pytest.mark.parametrize("path", ["/api", "/api/", "//api//"])
async def test_the_page_shows_every_operation_and_needs_nothing_from_outside(serve: Serve, path: str) -> None:
    served = await serve()
    answer = await served.ask("GET", path)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
    shown = set(re.findall(r"<b class=\"\w+\">(\w+)</b>\s*<code>([^<]*)</code>", answer.text))
    assert {" ".join(each) for each in shown} == OPERATIONS
    tags = Tags(answer.text)
    assert not tags.names & {"script", "style", "img", "iframe", "object", "form"}
    for link in set(tags.links):
        if link.startswith("#"):
            assert tags.ids.count(link[1:]) == 1, link
        else:
            assert (await served.ask("GET", link)).status == 200, link


def test_the_page_escapes_what_it_shows() -> None:
    evil = "<script>\"&'"
    operation = {
        "operationId": "x",
        "tags": [evil],
        "summary": evil,
        "description": evil,
        "parameters": [{"name": evil, "description": evil, "schema": {"const": evil}}],
        "responses": {"200": {"description": evil, "content": {evil: {"schema": {"enum": [evil]}}}}},
    }
    html = page(
        {
            "info": {"title": evil, "version": evil, "description": evil},
            "security": [{evil: []}],
            "tags": [{"name": evil, "description": evil}],
            "paths": {evil: {"get": operation}},
            "components": {"schemas": {evil: {"const": evil}}},
        }
    )
    assert "script" not in Tags(html).names
    assert html.count("&lt;script&gt;") > 10


@pytest.mark.parametrize("path", ["/api/v1/api", "/api/v1/api/openapi.json", "/openapi.json", "/api/v1", "/api/page"])
async def test_the_document_is_nowhere_else(serve: Serve, path: str) -> None:
    answer = await (await serve()).ask("GET", path)
    assert (answer.status, answer.text) == (404, NO)


async def test_the_document_cannot_be_changed(serve: Serve) -> None:
    served = await serve()
    for method in ("POST", "PUT", "DELETE"):
        assert (await served.ask(method, "/api/openapi.json")).status == 404
    assert (await served.ask("HEAD", "/api/openapi.json")).status == 200
