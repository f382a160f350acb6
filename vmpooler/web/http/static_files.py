"""The dashboard's files: small, read once, and sent with headers for caching and security."""

import gzip
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import attrs
from twisted.web import http

from vmpooler.web.http.server import Request, json_response, sent

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
}
"""The content types of the files that are served, by suffix."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page may load only what this server sends, and images in ``data:`` URLs.

Inline scripts and styles are blocked.
"""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}

INDEX = "index.html"

PAGE = "dashboard"
"""The path of the page."""

READS = (b"GET", b"HEAD")


@attrs.frozen
class File:
    """A file as it is sent; ``packed`` is its gzip, or None when that is not smaller."""

    type: str
    body: bytes
    packed: bytes | None
    etag: str

    @classmethod
    @cache
    def of(cls, suffix: str, body: bytes) -> "File":
        """Return the file with this content."""
        packed = gzip.compress(body, 9, mtime=0)
        small = packed if len(packed) < len(body) else None
        return cls(TYPES[suffix], body, small, hashlib.sha256(body).hexdigest()[:32])


class Files:
    """The files in ``vmpooler/dashboard``, read at the start."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self._files = dict(_found(folder or files("vmpooler").joinpath("dashboard"), ""))

    def home(self, request: Request, parts: Sequence[str]) -> bytes:
        """Redirect browsers from the root to the page."""
        return _moved(request, f"{PAGE}/")

    def answer(self, request: Request, parts: Sequence[str]) -> bytes:
        """Return the file of a path below the page's path; redirect browsers to the page where a slash is missing."""
        if not parts and not request.path.endswith(b"/"):
            return _moved(request, f"{PAGE}/")
        file = self._files.get("/".join(parts) or INDEX)
        if file is None or request.method not in READS:
            return json_response(request, 404, {"ok": False})
        packed = file.packed if takes_gzip(request) else None
        if request.setETag(f'"{file.etag}{"-gz" if packed else ""}"'.encode()) == http.CACHED:
            for name, value in HEADERS.items():
                request.setHeader(name, value)
            return b""
        coding = {"Content-Encoding": "gzip"} if packed else {}
        return sent(request, 200, packed or file.body, HEADERS | coding | {"Content-Type": file.type})


def takes_gzip(request: Request) -> bool:
    """Return whether a client accepts gzip; one that sends ``gzip;q=0`` does not."""
    codings = (request.getHeader(b"accept-encoding") or b"").decode("latin-1").replace(" ", "").lower().split(",")
    return any(name in ("gzip", "*") and rest not in ("q=0", "q=0.0") for name, _, rest in map(_split, codings))


def _moved(request: Request, where: str) -> bytes:
    """Redirect browsers.

    ``where`` is relative, because the service may run behind a path of another server.
    """
    if request.method not in READS:
        return json_response(request, 404, {"ok": False})
    return sent(request, 302, b"", {"Location": where})


def _split(coding: str) -> tuple[str, str, str]:
    return coding.partition(";")


def _found(folder: Traversable, path: str) -> Iterator[tuple[str, File]]:
    if not folder.is_dir():
        return
    for each in folder.iterdir():
        suffix = each.name.rpartition(".")[2]
        if each.is_dir():
            yield from _found(each, f"{path}{each.name}/")
        elif suffix in TYPES:
            yield path + each.name, File.of(suffix, each.read_bytes())
