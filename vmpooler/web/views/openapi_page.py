"""Renders an OpenAPI document as an HTML page. The page runs no code, and all its content is escaped."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

METHODS = ("get", "post", "put", "delete")

REF = re.compile(r"&quot;\$ref&quot;: &quot;#/components/schemas/(\w+)&quot;")
CODE = re.compile(r"`([^`]*)`")

Part = Mapping[str, Any]


def page(document: Part) -> str:
    """Render all operations, grouped by tag, then the schemas."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    sections = "\n".join(_section(document, tag) for tag in document["tags"])
    schemas = "\n".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/api/page.css">
</head>
<body>
<header>
<h1>{title}</h1>
{_prose(info["description"])}
<p>For programs: <a href="/api/openapi.json">openapi.json</a></p>
</header>
<main>
{sections}
<section>
<h2 id="schemas">Schemas</h2>
{schemas}
</section>
</main>
</body>
</html>
"""


def operations(document: Part) -> Iterator[tuple[str, str, Part]]:
    """Yield the path and the method of each operation, with the item that contains it."""
    for path, item in document["paths"].items():
        yield from ((path, method, item) for method in METHODS if method in item)


def resolved(document: Part, part: Part) -> Part:
    """Return a part, or the part that its ``$ref`` refers to."""
    for step in part["$ref"].split("/")[1:] if "$ref" in part else ():
        document = document[step]
    return document if "$ref" in part else part


def _section(document: Part, tag: Part) -> str:
    inside = (each for each in operations(document) if tag["name"] in each[2][each[1]]["tags"])
    content = "\n".join(_operation(document, *each) for each in inside)
    return f"<section>\n<h2>{escape(tag['name'])}</h2>\n{_prose(tag['description'])}\n{content}\n</section>"


def _operation(document: Part, path: str, method: str, item: Part) -> str:
    operation = item[method]
    given = [resolved(document, each) for each in (*item.get("parameters", ()), *operation.get("parameters", ()))]
    answers = {status: resolved(document, each) for status, each in operation["responses"].items()}
    parts = [
        _prose(operation.get("description", "")),
        _authentication(operation.get("security", document["security"])),
        _table("Parameters", [(each["name"], _parameter(each)) for each in given]),
        _body(operation.get("requestBody")),
        _table("Answers", [(status, _answer(each)) for status, each in answers.items()]),
    ]
    what = f'<b class="{method}">{method.upper()}</b> <code>{escape(path)}</code>'
    return _details(operation["operationId"], f"{what} <span>{_line(operation['summary'])}</span>", "".join(parts))


def _authentication(security: list[Part]) -> str:
    names = " or ".join(f"<code>{escape(name)}</code>" for each in security for name in each)
    return (
        f"<p>Authentication: {names}{', or none where none is needed' if {} in security else ''}</p>" if names else ""
    )


def _parameter(parameter: Part) -> str:
    optional = "" if parameter.get("required") else " Optional."
    return f"{_line(parameter.get('description', ''))}{optional} {_code(parameter['schema'])}"


def _body(body: Part | None) -> str:
    if body is None:
        return ""
    content = body["content"]["application/json"]
    return f"<h3>Body</h3>\n{_code(content['schema'])}\n<p>For example:</p>\n{_code(content['example'])}"


def _answer(answer: Part) -> str:
    shapes = [_code(content["schema"]) for content in answer["content"].values()]
    return f"{_line(answer['description'])} {''.join(shapes)}"


def _schema(name: str, schema: Part) -> str:
    return _details(f"schema-{name}", f"<code>{escape(name)}</code>", _code(schema))


def _details(id: str, summary: str, content: str) -> str:
    """Render a collapsible element; a link to its content expands it."""
    return f'<details>\n<summary>{summary}</summary>\n<div id="{escape(id)}">\n{content}\n</div>\n</details>'


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    body = "\n".join(f"<tr><th>{escape(name)}</th><td>{what}</td></tr>" for name, what in rows)
    return f"<h3>{title}</h3>\n<table>\n{body}\n</table>" if rows else ""


def _code(value: Part) -> str:
    """Render JSON; schema references in it become links. A value that is only a reference becomes only a link."""
    flat = not any(isinstance(each, dict | list) for each in value.values())
    text = escape(json.dumps(value, indent=None if flat else 2, ensure_ascii=False))
    if list(value) == ["$ref"] and (named := REF.search(text)):
        return _link(named)
    return f"<code>{text}</code>" if flat else f"<pre>{REF.sub(_link, text)}</pre>"


def _link(found: re.Match[str]) -> str:
    return f'<a href="#schema-{found[1]}">{found[1]}</a>'


def _prose(text: str) -> str:
    return "\n".join(f"<p>{_line(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _line(text: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(text))
