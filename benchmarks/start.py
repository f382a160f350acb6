"""Measures the time from the command to the first response, with an embedded Redis in an empty folder."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks import floor
from benchmarks.row import ResultRow
from benchmarks.scale import Scale
from tests.service.process import Service

MOST = 1.0
"""The target, in seconds."""

CONFIG = """
config: {prefix: vm-}
redis: {server: embedded}
pools: [{name: debian-12, size: 2}, {name: ubuntu-24, size: 2}]
"""


def measure(scale: Scale) -> list[ResultRow]:
    """Compare the service with a process that only loads twisted.web and klein, and listens."""
    with compiled():
        serving()
        pairs = [(serving(), listening()) for _ in range(scale.starts)]
    ours, bare = (median(each) for each in zip(*pairs, strict=True))
    shown = f"{ours:.2f} s", f"{bare:.2f} s", f"x {ours / bare:.1f}"
    return [ResultRow("start-up to serving", *shown, f"below {MOST:g} s", ours < MOST, {"seconds": ours, "bare": bare})]


@contextmanager
def compiled() -> Iterator[None]:
    """Let Python write its compiled modules to disk, as in an installation. The first start then compiles."""
    before = os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTHONDONTWRITEBYTECODE"] = before


def serving() -> float:
    """Return the seconds until the service answers."""
    began = time.monotonic()
    with Service(CONFIG) as service:
        if service.request("GET", "/vm").status != 200:
            raise RuntimeError(service.said)
        return time.monotonic() - began


def listening() -> float:
    """Return the seconds until the floor listens."""
    began = time.monotonic()
    with floor.bare(b"", {}):
        return time.monotonic() - began
