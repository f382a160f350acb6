"""``python -m benchmarks [names] [--quick] [--json FILE]``: run benchmarks, and print a table of the results.

A run of all benchmarks without ``--quick`` also updates the page of the documentation.
"""

import argparse
import json
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks import (
    bearing,
    checkout,
    cores,
    fill,
    growth,
    listeners,
    page,
    reads,
    replacement,
    start,
    summary,
    workers,
)
from benchmarks.row import ResultRow, absent
from benchmarks.scale import FULL, QUICK, Scale
from benchmarks.table import table

BENCHMARKS: Mapping[str, Callable[[Scale], Sequence[ResultRow]]] = {
    "checkout": checkout.measure,
    "status": reads.status,
    "vm": reads.vm,
    "workers": workers.measure,
    "summary": summary.measure,
    "fill": fill.measure,
    "refill": replacement.measure,
    "bearing": bearing.measure,
    "growth": growth.measure,
    "listeners": listeners.measure,
    "start": start.measure,
}


def main() -> None:
    """Run the benchmarks that the command line names, all by default."""
    parser = argparse.ArgumentParser(prog="benchmarks", description="Measure what the service costs.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="smaller and shorter, and less to be trusted")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if not shutil.which("wrk"):
        parser.error("wrk must be on PATH: make test-deps")
    others = cores.Others()
    found = measured(asked.names or list(BENCHMARKS), QUICK if asked.quick else FULL)
    rows = [row for each in found.values() for row in each]
    print(table(rows), end="")
    if curve := growth.chart(found.get("growth", ())):
        print(f"\n{curve}", end="")
    print(f"\nOther programs took {others.share:.0f} % of the machine meanwhile.")
    if found.keys() == BENCHMARKS.keys() and not asked.quick:
        page.write(table(rows), curve, others.share)
    if asked.json:
        asked.json.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n")


def measured(names: Sequence[str], scale: Scale) -> dict[str, Sequence[ResultRow]]:
    """Run these benchmarks, and return the rows of each. One that fails has a single row with the error."""
    found: dict[str, Sequence[ResultRow]] = {}
    for name in names:
        began = time.monotonic()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            found[name] = BENCHMARKS[name](scale)
        except Exception as error:  # the other benchmarks still run
            traceback.print_exc()
            found[name] = [absent(name, "", f"failed with {type(error).__name__}")]
        print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
