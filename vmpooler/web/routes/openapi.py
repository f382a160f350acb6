"""The API description: OpenAPI for programs, and a page for people."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from vmpooler import __version__
from vmpooler.web.http import json
from vmpooler.web.http.server import Request
from vmpooler.web.views.openapi_page import page

Document = Mapping[str, Any]

HTML = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The headers of the page: it may load its own style sheet and nothing else, and runs no code."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C, if PyYAML was built with it, is eight times as fast."""

CSS = {"Content-Type": "text/css; charset=utf-8", "X-Content-Type-Options": "nosniff"}


@cache
def document() -> Document:
    """Return the document in openapi.yaml, with the version of this package."""
    found: dict[str, Any] = yaml.load(_file("openapi.yaml"), LOADER)  # noqa: S506 - both loaders are safe
    return {**found, "info": {**found["info"], "version": __version__}}


async def as_json(request: Request) -> bytes:
    """Return the document for programs."""
    return _json()


async def as_html(request: Request) -> bytes:
    """Return the page for people."""
    return _html()


async def style(request: Request) -> bytes:
    """Return the page's style sheet."""
    return _css()


@cache
def _json() -> bytes:
    return json.of(document())


@cache
def _html() -> bytes:
    return page(document()).encode()


@cache
def _css() -> bytes:
    return _file("page.css").encode()


def _file(name: str) -> str:
    return files("vmpooler.web").joinpath(name).read_text(encoding="utf-8")
