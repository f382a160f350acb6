"""``python -m tests.verification.simulation``: plays schedules and prints what they did."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import count, islice, takewhile
from pathlib import Path

from twisted.logger import globalLogBeginner

from tests.redis_server import RedisServer
from tests.verification.proof.invariants import INVARIANTS
from tests.verification.simulation.play import Totals, describe_failure, play, play_all, words
from tests.verification.simulation.redis import LockStep

Work = tuple[int, int, int, float]
"""The first seed, the step to the next seed, the maximum number of schedules, and the end time (epoch, 0 for no end).
"""


def main(arguments: Sequence[str]) -> int:
    """Play the schedules that the command line asks for. Returns 1 when an invariant was violated."""
    options = _options(arguments)
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    if options.seed is not None:
        return _one(options.seed, options.trace)
    began = time.time()
    until = began + options.seconds if options.seconds else 0.0
    share = -(-options.schedules // options.workers) if options.schedules else 0
    work = [(options.first + number, options.workers, share, until) for number in range(options.workers)]
    totals = Totals()
    with ProcessPoolExecutor(options.workers) as pool:
        for part in pool.map(_part, work):
            totals.merge(part)
    seconds = time.time() - began
    print(_table(totals, seconds))
    if options.json:
        options.json.write_text(json.dumps(totals.figures(seconds), indent=2) + "\n")
    return 1 if totals.failures else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.verification.simulation", description=__doc__)
    much = parser.add_mutually_exclusive_group(required=True)
    much.add_argument("--seconds", type=float, default=0, help="play for so long")
    much.add_argument("--schedules", type=int, default=0, help="play so many")
    much.add_argument("--seed", type=int, help="play this one")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=1, help="processes that play, each with a Redis of its own")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every step")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def _one(seed: int, trace: bool) -> int:
    server = RedisServer()
    server.start()
    try:
        redis = LockStep(server)
        outcome = play(seed, redis)
        if trace:
            print(*words(outcome.trace, redis.scripts), sep="\n")
        print(describe_failure(outcome, redis) if outcome.failure else f"seed {seed}: all invariants hold")
    finally:
        server.remove()
    return 1 if outcome.failure else 0


def _part(work: Work) -> Totals:
    """Play the schedules of one worker."""
    first, step, most, until = work
    seeds: Iterator[int] = count(first, step)
    if most:
        seeds = islice(seeds, most)
    if until:
        seeds = takewhile(lambda _: time.time() < until, seeds)
    server = RedisServer()
    server.start()
    try:
        return play_all(seeds, LockStep(server))
    finally:
        server.remove()


def _table(totals: Totals, seconds: float) -> str:
    counts = totals.counts
    lines = [
        f"{len(totals.seeds)} schedules in {seconds:.0f} s: {counts['steps']} steps, {counts['commands']} commands to "
        f"Redis, {counts['requests']} requests, {counts['terms']} terms of managers",
        *(
            f"{group + 's':10} {', '.join(f'{name} {number}' for name, number in totals.group(group).items())}"
            for group in ("request", "answer", "event", "fault")
        ),
        *(f"{invariant!s:28} {totals.checks[invariant.number]:>10} checks" for invariant in INVARIANTS),
        f"faults stopped: full again within {max(totals.recoveries, default=0):.0f} s of virtual time at the most",
        *totals.failures.values(),
        f"{len(totals.failures)} violations",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
