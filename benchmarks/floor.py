"""Floors: servers that do the least work for the same response, each in its own process.

``python -m benchmarks.floor`` reads its kind and parameters as JSON from standard input, and prints its port.

- ``bare``: a twisted.web resource that returns the same bytes and headers for every request.
- ``klein``: a klein route that awaits the same script through txredisapi, written in the usual way.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import txredisapi
from klein import Klein
from twisted.internet import reactor as installed
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site

from benchmarks import cores
from vmpooler.embedded.program import guarded

ROOT = Path(__file__).parents[1]

reactor: Any = installed


class Bare(Resource):
    """Returns the same bytes for every request."""

    isLeaf = True

    def __init__(self, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._body = body
        self._headers = headers

    def render_GET(self, request: Any) -> bytes:
        """Set the headers, and return the body."""
        for name, value in self._headers.items():
            request.setHeader(name, value)
        return self._body

    render_POST = render_GET


def klein(path: str, sha: str, keys: list[str], args: list[str], pool: str) -> IResource:
    """Return the route of a checkout. ``keys`` and ``args`` are those of the script for ``pool``."""
    app = Klein()
    redis = txredisapi.lazyUnixConnectionPool(path, convertNumbers=False)

    @app.route("/api/v1/vm/<wanted>", methods=["POST"])
    async def checkout(request: Any, wanted: str) -> bytes:
        ours = [key.replace(pool, wanted) for key in keys]
        reply = await redis.evalsha(sha, ours, [each.replace(pool, wanted) for each in args])
        request.setHeader("Content-Type", "application/json")
        if reply[0] != "ok":
            request.setResponseCode(503)
            return b'{"ok": false}'
        return json.dumps({"ok": True, wanted: {"hostname": reply[3]}}, indent=2).encode()

    resource: IResource = app.resource()
    return resource


class Quiet(Site):
    """A site without an access log."""

    noisy = False

    def log(self, request: Any) -> None:
        """Write no line."""


def serve(resource: IResource) -> None:
    """Listen, print the port, and serve until the process is killed."""
    site = Quiet(resource)
    port = reactor.listenTCP(0, site, backlog=100, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


@attrs.define
class Floor:
    """A floor as a process on the measured core. As a context manager it starts the process, and later kills it."""

    kind: str
    options: Mapping[str, Any]
    url: str = ""
    pid: int = 0
    _process: "subprocess.Popen[str] | None" = None

    def __enter__(self) -> Self:
        command = guarded([sys.executable, "-m", "benchmarks.floor"])
        pipe = subprocess.PIPE
        self._process = process = subprocess.Popen(command, cwd=ROOT, text=True, stdin=pipe, stdout=pipe)
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a process without pipes")
        process.stdin.write(json.dumps({"kind": self.kind, **self.options}))
        process.stdin.close()
        self.url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        self.pid = process.pid
        cores.pin(self.pid)
        return self

    @property
    def pids(self) -> list[int]:
        """The id of its one process."""
        return [self.pid]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()


def bare(body: bytes, headers: Mapping[str, str]) -> Floor:
    """Return the floor that already has the response."""
    return Floor("bare", {"body": body.decode(), "headers": dict(headers)})


def main() -> None:
    """Run the floor that standard input describes."""
    options = json.load(sys.stdin)
    kind = options.pop("kind")
    serve(klein(**options) if kind == "klein" else Bare(options["body"].encode(), options["headers"]))


if __name__ == "__main__":
    main()
