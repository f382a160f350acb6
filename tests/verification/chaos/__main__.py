"""``python -m tests.verification.chaos``: runs one world or each world, and prints its table."""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tests.parts import missing
from tests.verification.chaos.cluster import (
    EXTRA,
    EXTRA_SIZE,
    FOREIGN,
    LIFETIME,
    NAMES,
    SIZES,
    TASK_LIMIT,
    ChaosCluster,
)
from tests.verification.chaos.judge import judged
from tests.verification.chaos.report import report, table, together
from tests.verification.chaos.run import SETTLES, run
from tests.verification.chaos.verdict import RunRules
from tests.verification.chaos.worlds import ENABLED, WORLDS

EACH, ANY = "each", "any"

RULES = RunRules(SIZES, NAMES, TASK_LIMIT, LIFETIME, SETTLES, frozenset({FOREIGN}))
CHANGING = attrs.evolve(
    RULES,
    sizes={**SIZES, **dict.fromkeys(EXTRA, EXTRA_SIZE)},
    names={**NAMES, **{pool: (pool,) for pool in EXTRA}},
    changing=frozenset(EXTRA),
)


def main() -> int:
    """Run the chosen worlds. Returns 0 when no invariant was violated."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names = _chosen(options.world, options.seed)
    report_of_all = together([_played(name, options) for name in names])
    if options.json:
        options.json.write_text(json.dumps(report_of_all, indent=1))
    if len(names) > 1:
        print("\nAll worlds together", *table(report_of_all), sep="\n", flush=True)
    return _violated(report_of_all)


def _violated(found: Mapping[str, Any]) -> bool:
    return any(each["violations"] for each in found["invariants"]) or bool(found["errors logged"])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.verification.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long faults go on (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what is done when, by chance")
    parser.add_argument(
        "--world",
        choices=(*WORLDS, EACH, ANY),
        default="machines",
        help="what may happen (default: machines); each: one after the other, in shares of the time; any: by the seed",
    )
    parser.add_argument("--managers", type=int, default=2, help="how many there are (default: 2)")
    parser.add_argument("--json", type=Path, help="a file for the report")
    parser.add_argument("--logs", type=Path, help="a folder that keeps what the processes said")
    return parser.parse_args()


def _chosen(world: str, seed: int) -> list[str]:
    """Return the names of the worlds to play."""
    there = [name for name in ENABLED if not missing(WORLDS[name].needs)]
    match world:
        case "each":
            return there
        case "any":
            return [there[seed % len(there)]]
        case _:
            return [world]


def _played(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Play one world and print its table. Returns the report."""
    world = WORLDS[name]
    seconds = options.seconds / (len(_chosen(EACH, options.seed)) if options.world == EACH else 1)
    print(f"chaos of {seconds:g} s, seed {options.seed}, world {name}", flush=True)
    began = time.monotonic()
    with ChaosCluster(managers=options.managers, **world.cluster) as cluster:
        print(f"up after {time.monotonic() - began:.1f} s, in {cluster.home}", flush=True)
        good = False
        try:
            done = run(cluster, world, seconds, options.seed, lambda text: print(text, flush=True))
            rules = CHANGING if world.cluster.get("changes") else RULES
            found = report(done, judged(done.evidence, rules, world.checks), options.seed)
            print("\n" + "\n".join(table(found)), flush=True)
            good = not _violated(found)
        finally:
            if options.logs or not good:
                said = {f"{name}-{each}": service.said for each, service in cluster.services.items()}
                _keep(said, options.logs or Path(tempfile.mkdtemp(prefix="vmpooler-chaos-logs-")))
    return found


def _keep(said: Mapping[str, str], folder: Path) -> None:
    """Write what each process said into a file of this folder."""
    folder.mkdir(exist_ok=True, parents=True)
    for name, text in said.items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"the logs of the processes are in {folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
