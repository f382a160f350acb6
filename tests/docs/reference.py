"""The generated parts of docs/api.md, from openapi.yaml. ``python -m tests.docs.reference`` rewrites them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import fill
from typing import Any

from vmpooler.web.routes.openapi import document
from vmpooler.web.views.openapi_page import operations, resolved

from .book import ROOT

PAGE = ROOT / "docs" / "api.md"
PLACE = re.compile(r"^(<!-- openapi: (\w+) -->)\n.*?^(<!-- /openapi -->)$", re.MULTILINE | re.DOTALL)
WIDTH = 130

Part = Mapping[str, Any]


def filled(page: str) -> str:
    """Return the page with every part between two markers rebuilt."""
    return PLACE.sub(lambda place: f"{place[1]}\n\n{generated(place[2])}\n\n{place[3]}", page)


def generated(name: str) -> str:
    """Return the part of this name: ``info``, ``statuses``, an operation or a schema."""
    match name:
        case "info":
            return prose(document()["info"]["description"])
        case "statuses":
            return table(("status", "when"), failures())
    for path, method, item in operations(document()):
        if item[method]["operationId"] == name:
            return section(path, method, item)
    members = document()["components"]["schemas"][name]["properties"].items()
    return table(("member", "meaning"), [(f"`{name}`", part["description"]) for name, part in members])


def section(path: str, method: str, item: Part) -> str:
    """Return the section of an operation, without its examples."""
    operation = item[method]
    title = f"## `{method.upper()} {path.removeprefix('/api/v1')}`"
    facts = [
        *parameters([*item.get("parameters", ()), *operation.get("parameters", ())]),
        *authentication(operation.get("security", ())),
        f"Statuses: {', '.join(answers(operation))}",
    ]
    shown = "\n".join(fill(f"- {fact}", WIDTH, subsequent_indent="  ", break_on_hyphens=False) for fact in facts)
    return "\n\n".join([title, prose(operation["description"]), shown])


def parameters(given: list[Part]) -> Iterator[str]:
    """Yield a phrase for each parameter."""
    for part in (resolved(document(), each) for each in given):
        values = ", ".join(f"`{value}`" for value in part["schema"].get("enum", ()))
        yield f"`{part['name']}` ({part['in']}): {phrase(part['description'])}{values and f', one of {values}'}"


def failures() -> Iterator[tuple[str, str]]:
    """Yield each status from 400 up that is described for several operations, with its description, in order."""
    responses = (answer for _, method, item in operations(document()) for answer in item[method]["responses"].items())
    shared = {(status, part["$ref"]) for status, part in responses if "$ref" in part and status >= "400"}
    for status, ref in sorted(shared):
        yield status, resolved(document(), {"$ref": ref})["description"]


def authentication(security: list[Part]) -> Iterator[str]:
    """Yield a sentence about the credentials that an operation takes; nothing where it takes none."""
    schemes = document()["components"]["securitySchemes"]
    names = [phrase(schemes[name]["description"]) for each in security for name in each]
    if names:
        yield f"Authentication: {' or '.join(names)}{', or none' if {} in security else ''}"


def answers(operation: Part) -> Iterator[str]:
    """Yield each status of an operation, with its description unless the table of statuses has it."""
    for status, answer in operation["responses"].items():
        shared = "$ref" in answer and status >= "400"
        yield status if shared else f"{status} ({phrase(resolved(document(), answer)['description'])})"


def phrase(sentence: str) -> str:
    """Return a sentence as part of another one."""
    return sentence[0].lower() + sentence[1:].removesuffix(".")


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def prose(text: str) -> str:
    """Return paragraphs, wrapped."""
    return "\n\n".join(fill(paragraph, WIDTH, break_on_hyphens=False) for paragraph in text.strip().split("\n\n"))


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
