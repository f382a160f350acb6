"""The report of a run, as JSON and as a table."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from tests.verification.chaos.run import Run
from tests.verification.chaos.verdict import Verdict
from tests.verification.proof.invariants import Invariant

SHOWN = 20
"""Maximum violations of one invariant that are shown."""


def report(run: Run, verdicts: Mapping[Invariant, Verdict], seed: int) -> dict[str, Any]:
    """Return the whole report, for JSON."""
    operations = run.evidence.operations
    answers = Counter("none" if each.status is None else str(each.status) for each in operations)
    return {
        "seed": seed,
        "operations": len(operations),
        "by verb": dict(Counter(str(each.verb) for each in operations)),
        "answers": dict(sorted(answers.items())),
        "not connected": run.unreached,
        "VMs given": sum(len(each.given) for each in operations),
        "events": len(run.evidence.events),
        "faults": dict(sorted(run.faults.items())),
        "takeovers": [round(seconds, 2) for seconds in run.takeovers],
        "full again after": run.evidence.settled,
        "errors logged": list(run.tracebacks),
        "invariants": [
            {"invariant": str(invariant), "checks": verdict.checks, "violations": verdict.violations}
            for invariant, verdict in verdicts.items()
        ],
    }


def together(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the reports of several worlds. Counts are added and violations are concatenated. Of the times until all
    pools were full again, the longest counts, or never."""
    found: dict[str, Any] = dict(reports[0])
    for other in reports[1:]:
        for key, value in other.items():
            match value:
                case dict():
                    found[key] = dict(Counter(found[key]) + Counter(value))
                case list() if key != "invariants":
                    found[key] = [*found[key], *value]
                case int() if key != "seed":
                    found[key] += value
        found["full again after"] = _longest(found["full again after"], other["full again after"])
        found["invariants"] = _added(found["invariants"], other["invariants"])
    return found


def _longest(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _added(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Add up the checks of each invariant that either list has."""
    found = {each["invariant"]: dict(each) for each in one}
    for each in other:
        ours = found.setdefault(each["invariant"], {"invariant": each["invariant"], "checks": 0, "violations": []})
        ours["checks"] += each["checks"]
        ours["violations"] = [*ours["violations"], *each["violations"]]
    return list(found.values())


def table(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the report as lines of a table."""
    for key in ("seed", "operations", "by verb", "answers", "not connected", "VMs given", "events", "faults"):
        value = found[key]
        text = ", ".join(f"{name} {count}" for name, count in value.items()) if isinstance(value, dict) else value
        yield f"{key:>16}  {text}"
    if took := found["takeovers"]:
        yield f"{'takeovers':>16}  {len(took)} within {median(took):.1f} s in the middle, {max(took):.1f} s at the most"
    settled = found["full again after"]
    yield f"{'full again after':>16}  {'never' if settled is None else f'{settled:.1f} s'}"
    yield from (f"{'logged':>16}  {line}" for line in found["errors logged"])
    yield f"\n{'checks':>9} {'violations':>11}  invariant"
    for each in found["invariants"]:
        yield f"{each['checks']:>9} {len(each['violations']):>11}  {each['invariant']}"
        yield from (f"{'':>23}{violation}" for violation in each["violations"][:SHOWN])
