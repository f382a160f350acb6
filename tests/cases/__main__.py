"""``python -m tests.cases``: plays the cases and prints a row for each. Exits with 1 when one of them failed."""

import argparse
import os
import signal
import sys
import textwrap
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path

import attrs

from tests.cases import answers, checks, clocks, decoding, evidence, forgetting, hang_ups, pools
from tests.cases.case import CASES, FaultCase
from tests.cases.world import CaseWorld
from tests.parts import ALL_TESTS, missing
from tests.service.process import TWISTD
from tests.vcsim.simulator import binary

KINDS = (evidence, forgetting, pools, clocks, hang_ups, decoding, checks, answers)
"""Imported because these modules register their cases."""

CASES.sort(key=lambda case: case.name)

WIDTHS = (10, 40, 40, 56)
"""Widths of the columns in characters: name, case, before, now."""

SHOWN = 300
"""Maximum characters shown of a failed case's message."""


class CaseOutcome(StrEnum):
    """How a case ended."""

    OK = "OK"
    FAILED = "FAILED"
    LEFT_OUT = "LEFT OUT"


@attrs.frozen
class CaseResult:
    """The result of a case."""

    case: FaultCase
    outcome: CaseOutcome
    facts: str
    seconds: float


def play(case: FaultCase, twistd: Path) -> CaseResult:
    """Play one case in its own world."""
    if lacking := missing(case.needs):
        outcome = CaseOutcome.FAILED if os.environ.get(ALL_TESTS) else CaseOutcome.LEFT_OUT
        return CaseResult(case, outcome, f"needs {', '.join(lacking)}: make test-deps", 0)
    began = time.monotonic()
    try:
        with CaseWorld(twistd) as world:
            outcome, facts = CaseOutcome.OK, case.play(world)
    except Exception as error:  # any exception is the result of the case
        # An assertion carries the case's own message; any other exception is shown with its type.
        facts = str(error) if isinstance(error, AssertionError) and str(error) else f"{type(error).__name__}: {error}"
        outcome = CaseOutcome.FAILED
    return CaseResult(case, outcome, facts, time.monotonic() - began)


def lines(cells: Sequence[str]) -> str:
    """Format a row of the table. A cell that is too long continues below."""
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, WIDTHS, strict=True)]
    height = max(map(len, columns))
    padded = [[*column, *[""] * (height - len(column))] for column in columns]
    rows = zip(*padded, strict=True)
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(row, WIDTHS, strict=True)).rstrip() for row in rows
    )


def row(done: CaseResult) -> str:
    """Format the result of a case as a row."""
    facts = " ".join(done.facts.split())[:SHOWN]
    return lines([done.case.name, done.case.title, done.case.before, f"{done.outcome}: {facts} ({done.seconds:.0f} s)"])


def main(arguments: Sequence[str]) -> int:
    """Play the chosen cases."""
    options = _options(arguments)
    if options.list:
        print("\n".join(f"{case.name:<{WIDTHS[0]}}  {case.title}" for case in CASES))
        return 0
    chosen = [case for case in CASES if not options.only or _named(case, options.only)]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if any("vcsim" in case.needs and not missing(case.needs) for case in chosen):
        binary()
    began = time.monotonic()
    print(lines(["case", "what happens", "before", "now"]), flush=True)
    print("  ".join("-" * width for width in WIDTHS), flush=True)
    done = []
    # The threads live until all cases are done: a process ends with the thread that started it.
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for each in pool.map(lambda case: play(case, options.twistd), chosen):
                done.append(each)
                print(row(each), flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    counts = {outcome: sum(each.outcome is outcome for each in done) for outcome in CaseOutcome}
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    print(f"\n{summary} in {time.monotonic() - began:.0f} s")
    return 1 if counts[CaseOutcome.FAILED] else 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.cases", description=__doc__)
    parser.add_argument("--only", metavar="NAME", action="append", help="this case or kind, as 1a or 4; repeatable")
    parser.add_argument("--list", action="store_true", help="name the cases, and play none")
    parser.add_argument("--jobs", type=int, default=2, help="how many are played at once (default: 2)")
    parser.add_argument(
        "--twistd",
        type=lambda text: Path(text).absolute(),
        default=TWISTD,
        help="the twistd of another virtual environment, to play the cases on what is installed there",
    )
    options = parser.parse_args(arguments)
    known = {name for case in CASES for name in (case.name, case.name.partition("-")[0], case.name[0])}
    if unknown := set(options.only or ()) - known:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; --list names them")
    if not options.twistd.exists():
        parser.error(f"there is no {options.twistd}")
    return options


def _named(case: FaultCase, names: Sequence[str]) -> bool:
    return any(name in (case.name, case.name.partition("-")[0], case.name[0]) for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
