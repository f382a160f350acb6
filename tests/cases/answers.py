"""Kind 8: a response from the vCenter's address that does not come from a vCenter."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.cases.case import case
from tests.cases.world import POOL, CaseWorld, books, comes, events_of, full, hold, on_vcenter, probe_port
from tests.vcsim.simulator import Simulator
from tests.vcsim.vcenter import Vcenter
from vmpooler.domain.events import What

PAGE = b'<?xml version="1.0"?><html><head><title>Sign in</title></head><body><p>Please sign in.</p></body></html>'


class PageProxy(ThreadingHTTPServer):
    """Forwards requests to a vCenter. After :meth:`arm`, the first call of that method after a login is answered with
    an HTML page instead."""

    daemon_threads = True

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.simulator = simulator
        self.given = False
        self._method, self._logged_in = b"", False

    def handle_error(self, *request: Any) -> None:
        """Print the error, unless a peer only closed its connection."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(*request)

    @property
    def url(self) -> str:
        """The value for the setting ``server``."""
        return f"http://127.0.0.1:{self.server_port}"

    def arm(self, method: bytes) -> None:
        """Answer the first call of that method after the next login with a page."""
        self._method = method

    def takes(self, body: bytes) -> bool:
        """Whether this request is answered with a page."""
        if not self._method or self.given:
            return False
        self._logged_in = self._logged_in or b"Login" in body
        self.given = self._logged_in and self._method in body
        return self.given


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PageProxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.takes(body):
            self._answer(200, {"Content-Type": "text/xml"}, PAGE)
            return
        simulator = self.server.simulator
        with closing(HTTPConnection(simulator.host, simulator.port, timeout=60)) as beyond:
            known = {name: value for name, value in self.headers.items() if name.lower() in PASSED}
            beyond.request("POST", self.path, body, known)
            reply = beyond.getresponse()
            kept = {name: value for name, value in reply.getheaders() if name.lower() in PASSED}
            self._answer(reply.status, kept, reply.read())

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


PASSED = {"content-type", "cookie", "set-cookie", "soapaction"}
"""The headers that are forwarded. The proxy receives the bodies of requests as plain text."""


@contextmanager
def proxied(simulator: Simulator) -> Iterator[PageProxy]:
    """Run a proxy in front of a simulated vCenter."""
    with PageProxy(simulator) as proxy:
        thread = Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


@case("8", "a proxy's page instead of the first WaitForUpdatesEx of a login", "all ready VMs are destroyed", "vcsim")
def a_page(world: CaseWorld) -> str:
    port = probe_port()
    world.listener(port)
    vcenter = world.vcenter(f"pools/{POOL}")
    with proxied(vcenter) as proxy:
        pools = [{"name": POOL, "size": 5, "folder": f"pools/{POOL}"}]
        service = world.service("all", on_vcenter(proxy.url, pools, port))
        service.start()
        of = books(service)
        ready = full(of, 5)
        proxy.arm(b"WaitForUpdatesEx")
        with closing(Vcenter(vcenter)) as administrator:
            administrator.end_sessions()
        hold(comes(lambda: proxy.given, 40) is not None, "no page was given: this run shows nothing")
        vcenter.control(reset="")
        began = time.monotonic()
        comes(lambda: events_of(of, ready, What.COMPLETED), 10)
        ended = {event.vm for event in events_of(of, ready, What.COMPLETED)}
        asked = sum(vcenter.calls().values()) / (time.monotonic() - began)
        hold(not ended, f"{len(ended)} of 5 were completed")
        hold(asked < 10, f"{asked:.0f} requests a second")
        full(of, 5)
        service.kill()
    return f"5 of 5 kept, {asked:.1f} requests a second"
