"""``make prove`` and ``make soak``: runs every part of the proof, prints its table, and writes the page about it."""

import argparse
import random
import sys
import time
from collections.abc import Sequence

from tests.verification.proof import ledger, page
from tests.verification.proof.parts import PartFailed, chaos, model, mutants, simulation, together, wrong

PIECE = 300.0
"""Seconds of a piece of a soak. An interruption loses at most one piece."""

NEXT = 1_000_001
"""Difference between the seeds of two pieces, so that the schedules differ, and the world of the chaos."""

SHORT = (40.0, 60.0)
"""Seconds of the simulation and of the chaos in a short run."""

BRIEF = (15.0, 20.0)
"""The same durations for a run after all tests: these already include the model, and other schedules and faults."""


def main(arguments: Sequence[str]) -> int:
    """Run the chosen parts. Returns 1 when a fault was found."""
    options = _options(arguments)
    try:
        found = _soak(60 * options.soak, options.seed) if options.soak else _prove(options)
    except PartFailed as error:
        print(f"\nNot proven: {error}")
        return 1
    print("", *page.table(found), "", *page.sentences(found), sep="\n")
    if parts := wrong(found):
        print(f"\nNot proven: see what {' and '.join(parts)} found, above")
    return 1 if parts else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.verification.proof", description=__doc__)
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="simulation and chaos side by side for so long")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the first schedule and the chaos")
    parser.add_argument("--brief", action="store_true", help="a short run after make test: less of all, and no model")
    parser.add_argument("--keep", action="store_true", help="write a short run into docs/proof.md, as a soak is")
    return parser.parse_args(arguments)


def _prove(options: argparse.Namespace) -> ledger.Figures:
    """Run all parts briefly."""
    began = time.monotonic()
    played, disturbed = BRIEF if options.brief else SHORT
    parts = [
        mutants(),
        simulation(played, options.seed),
        chaos(disturbed, options.seed, "any" if options.brief else "each"),
    ]
    found = together(parts if options.brief else [model(), *parts])
    found |= {"date": time.strftime("%Y-%m-%d"), "minutes": (time.monotonic() - began) / 60}
    if options.keep:
        _keep({"prove": found})
    return found


def _soak(seconds: float, seed: int) -> ledger.Figures:
    """Run simulation and chaos side by side until one finds a fault. Each piece is stored when it is done.

    The figures begin anew: those of an earlier soak are of an earlier version.
    """
    until = time.monotonic() + seconds
    total: ledger.Figures = {}
    while (left := until - time.monotonic()) > 0:
        began, seconds = time.monotonic(), min(PIECE, left)
        found = together([simulation(seconds, seed, workers=1), chaos(seconds, seed)], at_once=2)
        found |= {"pieces": 1, "minutes": round((time.monotonic() - began) / 60, 1)}
        total = ledger.added(total, found) | {"date": time.strftime("%Y-%m-%d")}
        _keep({"soak": total})
        if wrong(found):
            break
        seed += NEXT
    return total


def _keep(found: ledger.Figures) -> None:
    kept = ledger.read() | found
    ledger.write(kept)
    page.write(kept)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
