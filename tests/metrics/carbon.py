"""A real carbon-cache from PyPI, in its own process and folder."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.ports import free_port
from tests.service.process import until
from vmpooler.embedded.program import guarded

SCRIPTS = Path(sysconfig.get_path("scripts"))
CACHE = SCRIPTS / "carbon-cache.py"

CONF = """
[cache]
STORAGE_DIR = {home}
CONF_DIR = {home}
LOCAL_DATA_DIR = {home}/whisper
LOG_DIR = {home}
PID_DIR = {home}
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = {port}
PICKLE_RECEIVER_INTERFACE = 127.0.0.1
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = 0
CARBON_METRIC_INTERVAL = 0
MAX_CREATES_PER_MINUTE = inf
"""

SCHEMAS = """
[all]
pattern = .*
retentions = 1s:1h
"""


class RealCarbon:
    """A running carbon-cache that stores metrics. A context manager: its process is killed at the end."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self._home = home
        home.mkdir()
        (home / "carbon.conf").write_text(CONF.format(home=home, port=self.port))
        (home / "storage-schemas.conf").write_text(SCHEMAS)

    def __enter__(self) -> "RealCarbon":
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(CACHE),
            f"--config={self._home}/carbon.conf",
            "--nodaemon",
            "start",
        ]
        environ = {"GRAPHITE_ROOT": str(self._home), "PATH": "/usr/bin:/bin"}
        output = self._home / "output"
        with output.open("wb") as out:
            self._process = subprocess.Popen(guarded(command), cwd=self._home, env=environ, stdout=out, stderr=out)
        until(lambda: "CarbonReceiverFactory starting" in output.read_text(), "carbon starts")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def values(self, metric: str) -> list[float]:
        """Return the stored values of a metric, oldest first."""
        path = (self._home / "whisper").joinpath(*metric.split(".")).with_suffix(".wsp")
        if not path.exists():
            return []
        command = [sys.executable, "-W", "ignore", str(SCRIPTS / "whisper-fetch.py"), "--drop=nulls", str(path)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return [float(line.split()[1]) for line in output.splitlines()]
