"""``python -m benchmarks.beside --twistd PATH``: compare VM checkouts of this source tree and of another.

Both are measured in turn during one run, each with its own Redis, so that other load on the machine affects both alike.
PATH is the twistd in the virtual environment of the other source tree.
"""

import argparse
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import attrs

from benchmarks import api, stock
from benchmarks.api import ApiService
from benchmarks.checkout import enough
from benchmarks.rounds import MeasuredServer, alternate, cpu, rate, ratio, refused, shown
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.wrk import RequestLoad
from tests.service.process import TWISTD


def measure(twistd: Path, scale: Scale, append_only: bool = False) -> str:
    """Return the cost of a checkout in both source trees, and the ratios, as a line of text."""
    load = RequestLoad("POST", f"/api/v1/vm/{stock.POOL}", scale.pools, scale.connections)
    servers: dict[str, MeasuredServer] = {}
    with ExitStack() as stack:
        books = {}
        for name, program in (("ours", TWISTD), ("theirs", twistd)):
            socket, books[name] = stack.enter_context(api.redis())
            if append_only:
                books[name].call("CONFIG", "SET", "appendonly", "yes")
            servers[name] = stack.enter_context(ApiService(stock.config(socket, scale.pools), twistd=program))
        refill = {name: partial(stock.refill, book, scale.pools, enough(scale)) for name, book in books.items()}
        rounds = alternate(servers, dict.fromkeys(servers, load), scale, lambda name: refill[name]())
    here = (
        f"checkout, {scale.connections} connections, Redis {'with' if append_only else 'without'} an append-only file"
    )
    of_cpu, of_rate = ratio(rounds, "ours", "theirs", cpu), ratio(rounds, "ours", "theirs", rate)
    found = f"CPU x {of_cpu:.2f}, rate x {of_rate:.2f}, {refused(rounds)} refused"
    return f"{here}: {shown(rounds['ours'])}; theirs {shown(rounds['theirs'])}: {found}"


def main() -> None:
    """Print the comparison without and with an append-only file."""
    parser = argparse.ArgumentParser(prog="benchmarks.beside", description=__doc__)
    parser.add_argument("--twistd", type=Path, required=True, metavar="PATH", help="the twistd to compare with")
    parser.add_argument("--rounds", type=int, default=FULL.rounds, help="how often each has its turn")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, and less to be trusted")
    asked = parser.parse_args()
    scale = attrs.evolve(QUICK if asked.quick else FULL, rounds=asked.rounds)
    for append_only in (False, True):
        print(measure(asked.twistd, scale, append_only), flush=True)


if __name__ == "__main__":
    main()
