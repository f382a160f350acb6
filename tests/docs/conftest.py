"""A service that is started as the README describes."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import attrs
import pytest

from .book import only

BIN = Path(sys.executable).parent
ADDRESS = "http://localhost:4567"
"""The address of the API in the documents."""


@attrs.frozen
class Service:
    """A running service, with its configuration in ``folder`` and its API at ``url``."""

    folder: Path
    url: str

    def run(self, script: str) -> str:
        """Run a shell script from the documents, and return its output. The first failed command fails the test."""
        script = f'set -eu\ncurl() {{ command curl --silent --show-error "$@"; }}\n{script.replace(ADDRESS, self.url)}'
        done = subprocess.run(["/bin/sh", "-c", script], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def full(self) -> Self:
        """Wait until all pools are full, and return the service."""
        until = time.monotonic() + 20
        while '"percent": 100.0' not in self.run(f"curl {ADDRESS}/status"):
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.1)
        return self


@contextmanager
def serving(folder: Path, command: list[str]) -> Iterator[Service]:
    """Run the service of a folder on a free port."""
    log = folder / "log"
    with log.open("w") as out:
        command = [*command, "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    until = time.monotonic() + 20
    try:
        while not (address := re.search(r"the API: (http://127.0.0.1:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield Service(folder, address[1])
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the README's configuration in it."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "vmpooler.yaml").write_text(only("README.md", "yaml", "pools:"))
    return folder


@pytest.fixture(scope="session")
def commands() -> list[list[str]]:
    """The commands of the README that check this configuration and serve it."""
    lines = only("README.md", "sh", "twistd").replace(".venv/bin", str(BIN)).splitlines()
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope="session")
def running(folder: Path, commands: list[list[str]]) -> Iterator[Service]:
    """The service of the README, shared by all tests of this run."""
    with serving(folder, commands[-1]) as service:
        yield service


@pytest.fixture
def service(running: Service) -> Service:
    """The shared service, when all its pools are full."""
    return running.full()
