"""``python -m tests.verification.proof.mutants [--only NAME] [--json FILE]``: is every fault noticed?

It exits with 1 if one is not.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import attrs

from tests.verification.proof.mutants.catalogue import Mutant, mutants
from tests.verification.proof.mutants.trial import PATIENCE_UNCHANGED, Copy, MutantOutcome

AT_ONCE = 2
"""Number of mutants that are tried at the same time."""


def main(arguments: Sequence[str]) -> int:
    """Try the chosen mutants, print the results and write the report. Returns the exit code."""
    options = _options(arguments)
    chosen = [mutant for mutant in mutants() if options.only in mutant.name]
    began = time.monotonic()
    with Copy() as one, Copy() as other, ThreadPoolExecutor(AT_ONCE) as threads:
        if wrong := _wrong_without(chosen, threads, (one, other)):
            print("The tests fail on the source as it is:", *wrong, sep="\n  ")
            return 1
        outcomes = _tried(chosen, threads, (one, other))
    report = {**_totals(outcomes), "seconds": round(time.monotonic() - began, 1)}
    _sum_up(outcomes, report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if outcomes and report["caught"] == report["tried"] else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.verification.proof.mutants", description="Are deliberate faults noticed?"
    )
    parser.add_argument("--only", default="", metavar="NAME", help="try only those whose name has this in it")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came of it to a file")
    return parser.parse_args(arguments)


def _wrong_without(chosen: Sequence[Mutant], threads: Executor, copies: Sequence[Copy]) -> list[str]:
    """Return the tests that fail without any fault."""
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    shares = [share for number in range(AT_ONCE) if (share := tests[number::AT_ONCE])]
    runs = threads.map(lambda copy, share: copy.run(share, PATIENCE_UNCHANGED, compile=True), copies, shares)
    return [f"{test}: {message}" for found in runs for test, message in (*found["noticed"], *found["accidents"])]


def _tried(chosen: Sequence[Mutant], threads: Executor, copies: Sequence[Copy]) -> list[MutantOutcome]:
    free: Queue[Copy] = Queue()
    for copy in copies:
        free.put(copy)

    def tried(mutant: Mutant) -> MutantOutcome:
        copy = free.get()
        try:
            return copy.tried(mutant)
        finally:
            free.put(copy)

    outcomes: list[MutantOutcome] = []
    for outcome in threads.map(tried, chosen):
        if not outcomes or outcomes[-1].mutant.breaks != outcome.mutant.breaks:
            print(outcome.mutant.invariant)
        outcomes.append(outcome)
        _print(outcome)
    return outcomes


def _print(outcome: MutantOutcome) -> None:
    caught = outcome.how == "caught"
    by = outcome.by.rpartition("::")[2].partition("[")[0] if caught else outcome.how.upper()
    print(f"   {outcome.mutant.name:<70} {outcome.seconds:4.1f} s  {by}", flush=True)


def _sum_up(outcomes: Sequence[MutantOutcome], report: Mapping[str, Any]) -> None:
    left_out = f", {report['left_out']} left out for want of a part of the machine" if report["left_out"] else ""
    print(f"\ncaught {report['caught']} of {report['tried']} mutants in {report['seconds']:.0f} s{left_out}")
    for each in outcomes:
        if each.how not in ("caught", "left out"):
            print(f"{each.how}: {each.mutant.name}", *each.message.splitlines(), sep="\n    ")


def _totals(outcomes: Sequence[MutantOutcome]) -> Mapping[str, Any]:
    left_out = sum(outcome.how == "left out" for outcome in outcomes)
    return {
        "tried": len(outcomes) - left_out,
        "caught": sum(outcome.how == "caught" for outcome in outcomes),
        "left_out": left_out,
        "mutants": [
            {
                "name": outcome.mutant.name,
                "invariant": str(outcome.mutant.invariant),
                "file": outcome.mutant.file,
                **{name: value for name, value in attrs.asdict(outcome).items() if name != "mutant"},
            }
            for outcome in outcomes
        ],
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
