"""The worlds of chaos runs: each has its faults and its checks.

``ENABLED`` are the worlds that ``make prove`` and a soak play, ``TESTED`` those that the tests play, which must be
short. A world that is not enabled finds faults that are not fixed yet.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tests.verification.chaos.cluster import EXTRA
from tests.verification.chaos.faults import CLOCKS, CONFIGURATIONS, FAULTS, LAPSES, Fault
from tests.verification.chaos.judge import AFTER_LAPSES, CHECKS
from tests.verification.chaos.verdict import Check
from tests.verification.proof.invariants import Invariant


@attrs.frozen
class ChaosWorld:
    """``cluster`` are options of :class:`tests.verification.chaos.cluster.ChaosCluster`. ``asked`` are further requests
    of clients; ``needs`` are parts of tests/parts.py."""

    faults: Sequence[Fault]
    checks: Mapping[Invariant, tuple[Check, ...]] = CHECKS
    cluster: Mapping[str, Any] = attrs.field(factory=dict)
    asked: Sequence[Mapping[str, int]] = ()
    needs: Sequence[str] = ()


WORLDS: Mapping[str, ChaosWorld] = {
    "machines": ChaosWorld(FAULTS),
    "lapses": ChaosWorld(LAPSES, AFTER_LAPSES, {"forgets": True}),
    "clocks": ChaosWorld(CLOCKS, cluster={"clocks_differ": True}, needs=("faketime",)),
    "configurations": ChaosWorld(CONFIGURATIONS, cluster={"changes": True}, asked=[{pool: 1} for pool in EXTRA * 2]),
}

ENABLED = ("machines", "lapses", "clocks", "configurations")
TESTED = ("machines", "lapses")
