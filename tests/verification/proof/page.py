"""Writes docs/proof.md from the ledger: a run writes the part between two marks, the rest is written by hand."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tests.verification.proof.invariants import INVARIANTS
from tests.verification.proof.ledger import Figures

PAGE = Path(__file__).parents[3] / "docs/proof.md"

BEGIN, END = "<!-- written by the run -->\n", "<!-- until here -->\n"


def write(kept: Figures, page: Path = PAGE) -> None:
    """Update the page with the stored figures."""
    page.write_text(shown(page.read_text(encoding="utf-8"), kept), encoding="utf-8")


def shown(text: str, kept: Figures) -> str:
    """Return the text of the page with the stored figures between its marks."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    lines = [*_run("The last run of `make prove`", kept.get("prove")), *_run("Soaks", kept.get("soak"))]
    return f"{head}{BEGIN}\n{chr(10).join(lines)}\n{END}{tail}"


def table(found: Figures) -> Iterator[str]:
    """Yield a table of the invariants, with the number of checks and of violations."""
    parts = [name for name in ("simulation", "chaos") if name in found]
    yield f"| invariant | {' | '.join(f'checks in {name}' for name in parts)} | violations |"
    yield f"| --- | {' | '.join('--:' for _ in parts)} | --: |"
    for invariant in INVARIANTS:
        counts = [f"{found[part]['checks'].get(str(invariant.number), 0):,}" for part in parts]
        yield f"| {invariant} | {' | '.join(counts)} | {_violations(found, parts, str(invariant))} |"


def sentences(found: Figures) -> Iterator[str]:
    """Yield sentences about the rest of a run."""
    if part := found.get("simulation"):
        yield (
            f"**Simulation**: {part['schedules']:,} schedules, {part['steps']:,} steps, {part['commands']:,} commands "
            f"to Redis, {part['requests']:,} requests; {_counts(part['fault'])}. After the faults every pool was full "
            f"again within {part['slowest recovery']:g} s of virtual time."
        )
    if part := found.get("chaos"):
        took = part["full again after"]
        full = "Not every pool was full again."
        if took is not None:
            full = f"Every pool was full again within {took:.0f} s of the last fault."
        yield (
            f"**Chaos**: {part['operations']:,} operations, {part['VMs given']:,} VMs given, {part['events']:,} "
            f"events; {_counts(part['faults'])}. {_takeovers(part['takeovers'])} {full}"
        )
    if part := found.get("model"):
        yield f"**Model**: {part['tests']} tests of random operations on the store and on a model of it."
    if part := found.get("mutants"):
        left_out = f", {part['left out']} left out" if part["left out"] else ""
        yield f"**Mutants**: {part['caught']} of {part['tried']} deliberate faults were caught{left_out}."


def _run(title: str, found: Figures | None) -> Iterator[str]:
    yield f"### {title}\n"
    if not found:
        yield "None yet.\n"
        return
    pieces = f", {found['pieces']} pieces" if "pieces" in found else ""
    yield f"{found['date']}{pieces}, {found['minutes']:.0f} minutes.\n"
    yield from table(found)
    yield ""
    for sentence in sentences(found):
        yield f"- {sentence}"
    yield ""


def _violations(found: Figures, parts: Sequence[str], invariant: str) -> int:
    return sum(f"invariant {invariant}" in each for part in parts for each in found[part]["violations"])


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _takeovers(seconds: list[float]) -> str:
    if not seconds:
        return "No takeover could be timed."
    return (
        f"After a leader was killed, another led within {median(seconds):.1f} s in the middle and {max(seconds):.1f} s "
        f"at the most, {len(seconds)} times."
    )
