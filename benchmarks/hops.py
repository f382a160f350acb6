"""``python -m benchmarks.hops``: which files of the service a checkout passes, from the socket to the command to Redis.

A process of the API runs under a profile function. One checkout is sent to it, and the files of its calls are printed.
"""

import json
import shlex
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks import api, stock
from tests.service.process import Service

BEGINS, ENDS = "Channel.dataReceived", "Wire._execute"
"""The calls that begin and end the way of a request."""

TRACED = f"""
import json, os, sys
from twisted.scripts.twistd import run
way = None
def called(frame, event, arg):
    global way
    code = frame.f_code
    if event != "call" or "/vmpooler/" not in code.co_filename:
        return
    if code.co_qualname == {BEGINS!r}:
        way = []
    if way is not None:
        way.append("vmpooler/" + code.co_filename.rpartition("/vmpooler/")[2])
        if code.co_qualname == {ENDS!r}:
            with open(os.environ["HOPS"], "w") as file:
                json.dump(way, file)
            way = None
sys.setprofile(called)
sys.exit(run())
"""


def hops(calls: list[str]) -> int:
    """How often the calls go from one file to another."""
    return sum(one != other for one, other in pairwise(calls))


def calls_of_a_checkout() -> list[str]:
    """The file of each call of a checkout, in order."""
    with tempfile.TemporaryDirectory() as folder, api.redis() as (socket, book):
        program, python, found = Path(folder, "twistd"), Path(folder, "python"), Path(folder, "way")
        program.write_text(TRACED, encoding="utf-8")
        python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
        python.chmod(0o700)
        with Service(stock.config(socket, 1), "--role=api", twistd=program, environ={"HOPS": str(found)}) as service:
            stock.refill(book, 1, 10)
            answer = service.request("POST", f"/vm/{stock.POOL % 0}")
            if answer.status != 200:
                raise RuntimeError(f"the checkout was answered with {answer.status}")
            return list(json.loads(found.read_text(encoding="utf-8")))


def main() -> None:
    """Print each file once, in the order of the first call, and the counts."""
    calls = calls_of_a_checkout()
    files = list(dict.fromkeys(calls))
    print("\n".join(files))
    print(f"{len(files)} files, {hops(calls)} hops between files, {len(calls)} calls")


if __name__ == "__main__":
    main()
