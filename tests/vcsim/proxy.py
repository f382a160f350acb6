"""A proxy in front of the simulated vCenter that answers chosen methods itself."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Self

import attrs

from tests.vcsim.simulator import Simulator

METHOD = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
OBJECTS = re.compile(rb"<objects>.*?</objects>", re.DOTALL)
TOKEN = re.compile(rb"<token[^>]*>(rest-\d+)</token>")
XHTML = b"""<?xml version="1.0"?>
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>secret-page</title></head><body><p>Sign in</p></body></html>"""
ENVELOPE = (
    b'<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
    b"<soapenv:Body>%s</soapenv:Body></soapenv:Envelope>"
)


def response(method: str, result: bytes = b"") -> bytes:
    """Return the Response of a method. Without ``result`` it contains no result."""
    name = method.encode()
    return ENVELOPE % b'<%sResponse xmlns="urn:vim25">%s</%sResponse>' % (name, result, name)


@attrs.frozen
class Page:
    """An answer of the proxy.

    ``after``: number of calls of the method that pass through first. ``times``: number of calls that get this answer,
    0 for all. ``forward``: the vCenter carries the call out nevertheless.
    """

    body: bytes = XHTML
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    after: int = 0
    times: int = 0
    forward: bool = False


class VcenterProxy:
    """A proxy on its own port.

    ``cut``: the objects that RetrievePropertiesEx finds are sent only in the answer to ContinueRetrievePropertiesEx.
    ``truncate``: updates are marked as incomplete.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.cut = self.truncate = False
        self.calls: list[tuple[float, str]] = []
        self._pages: dict[str, Page] = {}
        self._other: Page | None = None
        self._seen: dict[str, int] = {}
        self._rest: dict[bytes, bytes] = {}

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name: self.headers[name] for name in ("Cookie", "SOAPAction") if self.headers[name]}
                status, kept, body = proxy.answer(sent, headers)
                self.send_response(status)
                for name, value in kept.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True  # the client has disconnected

            def log_message(self, format: str, *args: object) -> None:
                """Write no log: requests are recorded in ``calls``."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The value for the setting ``server``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def show(self, other: Page | None = None, **pages: Page) -> None:
        """From now on answer these methods with their page, and all others with ``other``, unless it is None."""
        self._seen, self._pages, self._other = {}, dict(pages), other

    def count(self, method: str = "", since: float = 0.0) -> int:
        """Return the number of calls of this method, or of all, since ``since``, a value of ``time.monotonic``."""
        return sum(1 for moment, name in self.calls if moment >= since and method in ("", name))

    def answer(self, sent: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and body of the answer to a call."""
        found = METHOD.search(sent)
        method = found[1].decode() if found else ""
        self.calls.append((time.monotonic(), method))
        page = self._pages.get(method, self._other)
        if page is not None:
            seen = self._seen[method] = self._seen.get(method, 0) + 1
            if page.after < seen and (not page.times or seen <= page.after + page.times):
                if page.forward:
                    self._forward(sent, headers)
                return page.status, page.headers, page.body
        if (token := TOKEN.search(sent)) and token[1] in self._rest:
            return 200, {}, response(method, b"<returnval>%s</returnval>" % self._rest.pop(token[1]))
        status, kept, body = self._forward(sent, headers)
        if self.cut and method == "RetrievePropertiesEx":
            body = self._without_objects(body)
        elif self.truncate and method == "WaitForUpdatesEx":
            body = body.replace(b"</returnval>", b"<truncated>true</truncated></returnval>")
        return status, kept, body

    def _forward(self, sent: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        connection = HTTPConnection(self._simulator.host, self._simulator.port, timeout=60)
        try:
            connection.request("POST", "/sdk", sent, {**headers, "Content-Type": "text/xml; charset=UTF-8"})
            answer = connection.getresponse()
            kept = {name: answer.headers[name] for name in ("Set-Cookie", "Content-Type") if answer.headers[name]}
            return answer.status, kept, answer.read()
        finally:
            connection.close()

    def _without_objects(self, body: bytes) -> bytes:
        if not (objects := b"".join(OBJECTS.findall(body))):
            return body
        token = b"rest-%d" % len(self.calls)
        self._rest[token] = objects
        return body.replace(objects, b"<token>%s</token>" % token)
