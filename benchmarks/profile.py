"""``python -m benchmarks.profile checkout|status|vm``: show where a serving process spends its time.

The command uses py-spy, which samples the process from outside, 200 times a second. If py-spy is not installed, it
uses Python's own profiler, which makes each call of a Python function appear more expensive than it is.
"""

import argparse
import pstats
import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs

from benchmarks import api, checkout, reads, stock
from benchmarks.api import ApiService
from benchmarks.scale import FULL, Scale
from benchmarks.table import columns
from benchmarks.wrk import RequestLoad, run

ROOMS = {
    "sockets and the reactor": ("/twisted/internet/", "/socket.py", "/twisted/python/util.py"),
    "chance": ("/random.py", "/secrets.py"),
    "Deferreds": ("/twisted/internet/defer.py", "/twisted/internet/_producer_helpers.py"),
    "twisted.web": ("/twisted/web/", "/twisted/protocols/"),
    "werkzeug": ("/werkzeug/",),
    "klein": ("/klein/",),
    "the wire to Redis": ("/vmpooler/store/redis/", "/txredisapi.py", "/hiredis/"),
    "JSON": ("/json/",),
    "ours: web": ("/vmpooler/web/",),
    "ours: the rest": ("/vmpooler/",),
}
"""Parts of paths, by component. The longest part that occurs in a path decides."""

ELSEWHERE = "elsewhere"

Seen = Counter[tuple[str, str]]
"""The own time of each function, by path and name. The unit depends on the profiler."""

SHOWN = 15
"""The largest number of lines in each table."""

HEAD = ("share", "where")


def room(path: str) -> str:
    """Return the component of a file."""
    fits = [(len(part), name) for name, parts in ROOMS.items() for part in parts if part in path]
    return max(fits)[1] if fits else ELSEWHERE


class Subject(Protocol):
    """Runs a service of class ``kind``, and provides the load for it."""

    def __call__(self, scale: Scale, kind: type[ApiService]) -> AbstractContextManager[tuple[ApiService, RequestLoad]]:
        """Return a context manager of both."""


@contextmanager
def of_checkout(scale: Scale, kind: type[ApiService]) -> Iterator[tuple[ApiService, RequestLoad]]:
    """Run a service with enough VMs for the whole profile."""
    with api.redis() as (socket, redis), kind(stock.config(socket, scale.pools)) as ours:
        stock.refill(redis, scale.pools, 2 * checkout.enough(scale))
        yield ours, RequestLoad("POST", f"{reads.VM}/{stock.POOL}", scale.pools, scale.connections)


def of_path(path: str) -> Subject:
    """Return a subject that reads a path of a large installation."""

    @contextmanager
    def asked(scale: Scale, kind: type[ApiService]) -> Iterator[tuple[ApiService, RequestLoad]]:
        with reads.installation(scale, kind) as (ours, _):
            yield ours, RequestLoad("GET", path, connections=scale.connections)

    return asked


SUBJECTS: Mapping[str, Subject] = {
    "checkout": of_checkout,
    "status": of_path(reads.STATUS),
    "vm": of_path(f"{reads.VM}/{stock.vm(0, 0)}"),
}


def spied(spy: str, scale: Scale, subject: Subject) -> Seen:
    """Profile with py-spy. The unit is samples. Raises RuntimeError when py-spy fails."""
    with subject(scale, ApiService) as (ours, load), tempfile.NamedTemporaryFile() as file:
        run(ours.url, ours.pids, load, 1)
        how = ("--format=raw", "--rate=200", "--function", "--full-filenames", f"--duration={scale.seconds}")
        command = [spy, "record", f"--pid={ours.pid}", f"--output={file.name}", *how]
        sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        run(ours.url, ours.pids, load, scale.seconds + 1)
        _, said = sampler.communicate(timeout=30)
        if sampler.returncode:
            raise RuntimeError(f"py-spy: {said}")
        return leaves(Path(file.name).read_text())


def leaves(stacks: str) -> Seen:
    """Count the innermost function of each stack, which py-spy writes as ``outer (path);inner (path) count``."""
    seen: Seen = Counter()
    for line in stacks.splitlines():
        stack, _, count = line.rpartition(" ")
        name, _, path = stack.rpartition(";")[2].rpartition(" (")
        seen[path.rstrip(")"), name] += int(count)
    return seen


class Profiled(ApiService):
    """A service that profiles itself, and writes the profile to a file when it ends."""

    @property
    def seen(self) -> Path:
        """The path of that file."""
        return self.directory / "profile"

    def launch(self, *twistd: str) -> "subprocess.Popen[bytes]":
        """Start twistd with its profiler."""
        return super().launch("-n", "--pidfile=", "--profiler=cprofile", "--savestats", f"--profile={self.seen}")


def counted(scale: Scale, subject: Subject) -> Seen:
    """Profile with Python's own profiler. The unit is seconds."""
    with subject(scale, Profiled) as (ours, load):
        run(ours.url, ours.pids, load, scale.seconds)
        ours.stop()
        known: Any = pstats.Stats(str(ours.directory / "profile"))
    seen: Seen = Counter()
    for (path, _, name), (_, _, own, _, callers) in known.stats.items():
        if "poll" in name:
            continue  # waiting is not work
        if path != "~":
            seen[path, name] += own
        for (caller, _, _), (_, _, part, _) in callers.items() if path == "~" else ():
            seen[caller, name] += part
    return seen


def report(seen: Seen) -> str:
    """Return two tables: the components, and the functions with the most own time."""
    whole = sum(seen.values()) or 1
    rooms: Counter[str] = Counter()
    for (path, _), count in seen.items():
        rooms[room(path)] += count
    functions = {f"`{name}`, {'/'.join(Path(path).parts[-2:])}": count for (path, name), count in seen.items()}
    shares = [
        [(f"{100 * count / whole:.1f} %", what) for what, count in Counter(each).most_common(SHOWN)]
        for each in (rooms, functions)
    ]
    return "\n".join(columns(HEAD, each) for each in shares)


def main() -> None:
    """Print where the process spends its time."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile")
    parser.add_argument("subject", choices=SUBJECTS)
    parser.add_argument("--seconds", type=int, default=8, help="how long to sample [8]")
    asked = parser.parse_args()
    scale, subject = attrs.evolve(FULL, seconds=asked.seconds), SUBJECTS[asked.subject]
    spy = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    print(report(spied(spy, scale, subject) if spy else counted(scale, subject)), end="")


if __name__ == "__main__":
    main()
