"""Runs wrk, an HTTP client that uses little CPU time, and reads its results."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

from benchmarks.cores import Usage

SCRIPT = Path(__file__).with_name("requests.lua")


@attrs.frozen
class RequestLoad:
    """The requests to send, and the number of concurrent connections, which stay open.

    ``path`` may contain one ``%012d``, which stands for each number below ``numbers`` in turn. ``pause`` is the mean
    pause of a connection between two requests, in milliseconds.
    """

    method: str
    path: str
    numbers: int = 1
    connections: int = 32
    pause: int = 0


@attrs.frozen
class LoadResult:
    """The result of a run.

    In this order: requests a second, the server's microseconds of CPU time for each request, p50 and p99 of the
    latency in milliseconds, and the number of requests that got an error (``refused``) or no response (``lost``).
    """

    rate: float
    cpu: float
    p50: float
    p99: float
    refused: int
    lost: int


def run(url: str, pids: Sequence[int], load: RequestLoad, seconds: int) -> LoadResult:
    """Send requests to a server, whose processes are ``pids``, for this number of seconds."""
    usages = [Usage(pid) for pid in pids]
    before = sum(usage.cpu for usage in usages)
    shape = ("-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout=10s")
    words = (load.method, load.path, str(load.numbers), str(load.pause))
    command = ["wrk", *shape, "-s", str(SCRIPT), url, "--", *words]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = sum(usage.cpu for usage in usages) - before
    report = json.loads(output.splitlines()[-1])
    count = max(1, report["requests"])
    return LoadResult(
        rate=report["requests"] / report["micros"] * 1e6,
        cpu=cpu / count * 1e6,
        p50=report["p50"] / 1000,
        p99=report["p99"] / 1000,
        refused=report["refused"],
        lost=report["lost"],
    )
