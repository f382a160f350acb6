"""Runs a real ``twistd vmpooler`` in its own process and folder, and leaves neither behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from tests.ports import free_port
from tests.service.books import Books
from vmpooler.embedded.program import guarded

T = TypeVar("T")

TWISTD = Path(sysconfig.get_path("scripts"), "twistd")
VMPOOLER = Path(sysconfig.get_path("scripts"), "vmpooler")

QUICK = """
config: {prefix: vm-}
redis: {server: embedded}
pools: [{name: debian-12, alias: linux, size: 2}]
"""
"""A configuration whose VMs are ready at once."""

SHOWN = 4000
"""Characters of the output that a failed test shows."""

PATIENCE = 20.0
"""Seconds in which a condition must become true, even on a busy machine."""


class Answer(NamedTuple):
    """A response of the API: the HTTP status, and the decoded JSON body."""

    status: int
    body: Any


def until(condition: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
    """Return the first true value of ``condition``. Raises AssertionError with ``what`` after ``seconds``."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.01)
    return found


class Client(HTTPConnection):
    """A connection to the API on a loopback port."""

    def __init__(self, port: int, seconds: float = PATIENCE) -> None:
        super().__init__("127.0.0.1", port, timeout=seconds)

    def answer(self) -> Answer:
        """Return the response to the request, and close the connection. Raises OSError when none arrives in time."""
        reply = self.getresponse()
        body = json.loads(reply.read())
        self.close()
        return Answer(reply.status, body)


def processes(directory: Path) -> dict[int, str]:
    """Return the command lines, by process id, of the processes whose working directory is this folder or below it."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(entry / "cwd")).is_relative_to(directory):
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def _hear_control_c() -> None:
    """Restore the default action of SIGINT. A script starts background processes with SIGINT ignored; children inherit
    that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Service(Books):
    """A service with this configuration in ``directory``, or in a temporary folder that ``end`` removes.

    As a context manager it starts the service, returns when the service answers, and leaves no process behind.
    ``options`` are options of the command line. Unless they set an address, the API listens on ``port``. ``environ``
    is added to the environment. ``twistd`` is the program, of this virtual environment or of another.
    """

    def __init__(
        self,
        config: str | None,
        *options: str,
        directory: Path | None = None,
        environ: Mapping[str, str] | None = None,
        twistd: Path = TWISTD,
    ) -> None:
        self._own = None if directory else Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
        self.directory = (directory or self._own or Path()).resolve()
        self.directory.mkdir(exist_ok=True)
        self.redis_socket = self.directory / ".vmpooler/redis.sock"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._options = options
        self._environ = environ or {}
        self._twistd = twistd
        self._api = "--role=manager" not in options
        if config is not None:
            (self.directory / "vmpooler.yaml").write_text(config)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            error.add_note(f"what the service said last:\n{self.said[-SHOWN:]}")
        self.end()

    @property
    def output(self) -> Path:
        """The file that receives standard output and error of all its processes."""
        return self.directory / "output"

    @property
    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    def launch(self, *twistd: str) -> "subprocess.Popen[bytes]":
        """Start twistd in the foreground, or with the options ``twistd``, and return at once."""
        listen = () if any("listen" in each or "port" in each for each in self._options) else (f"--port={self.port}",)
        options = twistd or ("-n", "--pidfile=")
        python = sys.executable if self._twistd == TWISTD else self._twistd.with_name("python")
        command = guarded([python, self._twistd, *options, "vmpooler", *self._options, *listen])
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VMPOOLER")}
        environ |= self._environ
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.directory, env=environ, stdout=output, stderr=output, preexec_fn=_hear_control_c
            )
        return self.process

    def start(self) -> None:
        """Start it, and return when it answers. A manager without an API: return when it has logged its role."""
        before = len(self.said)
        process = self.launch()
        sign = "get a VM:" if self._api else "role manager"
        until(lambda: sign in self.said[before:] or process.poll() is not None, "the service starts")
        assert process.poll() is None, self.said

    def run(self) -> int:
        """Run it until it ends by itself, and return the exit code."""
        try:
            return self.launch().wait(PATIENCE)
        finally:
            self.kill()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, wait until it has ended, and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """End it with SIGKILL. Its Redis ends with it, but may still run for a moment."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def end(self) -> None:
        """Kill all its processes, and remove its folder, unless the test gave ``directory``."""
        self.kill()
        for pid in processes(self.directory):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not processes(self.directory), "everything has ended")
        if self._own:
            shutil.rmtree(self._own, ignore_errors=True)

    def request(self, method: str, path: str, token: str = "", seconds: float = PATIENCE) -> Answer:
        """Send one request to the API. Raises OSError when it is refused, or when no response arrives in time."""
        client = Client(self.port, seconds)
        client.request(method, path, headers={"X-AUTH-TOKEN": token} if token else {})
        return client.answer()

    def ready(self, pool: str = "debian-12") -> int:
        """Return how many VMs of a pool are ready; 0 when ``/status`` fails."""
        answer = self.request("GET", "/status")
        return int(answer.body["pools"][pool]["ready"]) if answer.status == 200 else 0
