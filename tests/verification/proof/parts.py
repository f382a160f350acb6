"""The parts of the proof. Each is a separate program, and all report in one form."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from tests.verification.proof.ledger import Figures
from vmpooler.embedded.program import guarded

ROOT = Path(__file__).parents[3]


class PartFailed(Exception):
    """A part did not run to its end."""


@attrs.frozen
class ProofPart:
    """A program of the proof. It has a ``command`` line without Python, and a function that reads what it writes with
    ``--json``."""

    name: str
    command: tuple[str, ...]
    figures: Callable[[Any], Figures]

    def run(self) -> Figures:
        """Run the part and show its output. ``ended`` is its exit code, 0 when it found no fault. Raises PartFailed."""
        print(f"\n== {self.name}: python {' '.join(self.command)}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vmpooler-proof-") as folder:
            report = Path(folder, "report.json")
            arguments = [each.replace("{json}", str(report)) for each in self.command]
            ended = subprocess.run(guarded([sys.executable, *arguments]), cwd=ROOT, check=False)
            if not report.exists():
                raise PartFailed(f"{self.name} ended with {ended.returncode}, see above")
            text = report.read_text(encoding="utf-8")
        return self.figures(text) | {"seconds": round(time.monotonic() - began, 1), "ended": ended.returncode}


def simulation(seconds: float, first: int, workers: int = 2) -> ProofPart:
    """Schedules from this seed on."""
    options = (f"--seconds={seconds:g}", f"--first={first}", f"--workers={workers}", "--json={json}")
    return ProofPart("simulation", ("-m", "tests.verification.simulation", *options), _simulated)


def chaos(seconds: float, seed: int, world: str = "any") -> ProofPart:
    """Real processes with two managers, in one of the worlds or in ``each``."""
    options = (f"--world={world}", f"--seconds={seconds:g}", f"--seed={seed}", "--managers=2", "--json={json}")
    return ProofPart("chaos", ("-m", "tests.verification.chaos", *options), _endured)


def model() -> ProofPart:
    """Random operations on the store and on a model of it, compared."""
    options = ("-q", "-p", "no:cacheprovider", "--junit-xml={json}", "tests/store/test_model.py")
    return ProofPart("model", ("-m", "pytest", *options), _compared)


def mutants() -> ProofPart:
    """Deliberate faults."""
    return ProofPart("mutants", ("-m", "tests.verification.proof.mutants", "--json={json}"), _noticed)


def _simulated(text: str) -> Figures:
    found = json.loads(text)
    names = ("schedules", "steps", "commands", "requests", "slowest recovery", "fault")
    return {name: found[name] for name in names} | {
        "checks": _by_number(found["checks"].items()),
        "violations": sorted(found["violations"].values()),
    }


def _endured(text: str) -> Figures:
    found = json.loads(text)
    names = ("operations", "answers", "VMs given", "events", "faults", "full again after", "takeovers")
    return {name: found[name] for name in names} | {
        "checks": _by_number((each["invariant"], each["checks"]) for each in found["invariants"]),
        "violations": [
            f"invariant {each['invariant']}: {violation}"
            for each in found["invariants"]
            for violation in each["violations"]
        ],
    }


def _compared(text: str) -> Figures:
    return {"tests": int(re.findall(r'tests="(\d+)"', text)[0])}


def _noticed(text: str) -> Figures:
    found = json.loads(text)
    rows = [{"name": each["name"], "invariant": each["invariant"], "how": each["how"]} for each in found["mutants"]]
    return {"tried": found["tried"], "caught": found["caught"], "left out": found["left_out"], "mutants": rows}


def _by_number(pairs: Any) -> dict[str, int]:
    """Return the checks by the number of their invariant. An invariant's name begins with its number."""
    return {name.partition(".")[0]: count for name, count in pairs}


def together(parts: Sequence[ProofPart], at_once: int = 1) -> Figures:
    """Run some parts, at most ``at_once`` at a time. Returns their figures by name. Raises PartFailed."""
    with ThreadPoolExecutor(at_once) as threads:
        return dict(zip((part.name for part in parts), threads.map(ProofPart.run, parts), strict=True))


def wrong(found: Figures) -> list[str]:
    """Return the parts that found a fault."""
    return [name for name, figures in found.items() if isinstance(figures, dict) and figures["ended"]]
