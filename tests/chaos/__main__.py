"""``python -m tests.chaos``: one run, and its table."""

import argparse
import json
import random
import signal
import sys
import time
from pathlib import Path

import attrs

from tests.chaos.judge import judged
from tests.chaos.report import report, table
from tests.chaos.run import SETTLES, run
from tests.chaos.stage import EXTRA, EXTRA_SIZE, FOREIGN, LIFETIME, NAMES, SIZES, TASK_LIMIT, Stage
from tests.chaos.verdict import Rules
from tests.chaos.worlds import WORLDS

RULES = Rules(SIZES, NAMES, TASK_LIMIT, LIFETIME, SETTLES, frozenset({FOREIGN}))
CHANGING = attrs.evolve(
    RULES,
    sizes={**SIZES, **dict.fromkeys(EXTRA, EXTRA_SIZE)},
    names={**NAMES, **{pool: (pool,) for pool in EXTRA}},
    changing=frozenset(EXTRA),
)


def main() -> int:
    """Run; 0 when nothing was violated."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long torments go on (default: 60)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of what is done when, by chance")
    parser.add_argument("--world", choices=WORLDS, default="machines", help="what may happen (default: machines)")
    parser.add_argument("--managers", type=int, default=2, help="how many there are (default: 2)")
    parser.add_argument("--json", type=Path, help="a file for the report")
    parser.add_argument("--logs", type=Path, help="a folder that keeps what the processes said")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    world = WORLDS[options.world]
    print(f"chaos of {options.seconds:g} s, seed {options.seed}, world {options.world}", flush=True)
    began = time.monotonic()
    with Stage(managers=options.managers, **world.stage) as stage:
        print(f"up after {time.monotonic() - began:.1f} s, in {stage.home}", flush=True)
        try:
            done = run(stage, world, options.seconds, options.seed, lambda text: print(text, flush=True))
        finally:
            if options.logs:
                options.logs.mkdir(exist_ok=True, parents=True)
                for name, service in stage.services.items():
                    (options.logs / name).write_text(service.said)
    rules = CHANGING if world.stage.get("changes") else RULES
    verdicts = judged(done.evidence, rules, world.checks)
    told = report(done, verdicts, options.seed)
    if options.json:
        options.json.write_text(json.dumps(told, indent=1))
    print("\n" + "\n".join(table(told)), flush=True)
    return any(verdict.violations for verdict in verdicts.values()) or bool(done.tracebacks)


if __name__ == "__main__":
    sys.exit(main())
