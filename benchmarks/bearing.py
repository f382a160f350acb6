"""Compares ``task_limit: auto`` with fixed limits, on a simulated vCenter that slows down under many clones."""

from benchmarks.row import ResultRow, absent
from benchmarks.scale import Scale
from tests.parts import PARTS
from tests.vcsim.simulator import binary
from tests.verification.load.bearing import rate

BEARS = "8:2"
"""Up to 8 concurrent clones take no longer than one. More take (clones / 8)² times as long."""

ALONE = 2.0
"""Seconds that one clone takes."""

WITHIN = 0.85
"""The target: the share of the best fixed limit's rate that ``auto`` must reach."""


def measure(scale: Scale) -> list[ResultRow]:
    """Compare ``auto`` with the best fixed limit. Each run begins with an empty pool."""
    what = "clones with `task_limit: auto`, best fixed limit"
    if not PARTS["vcsim"].is_there():
        return [absent(what, f"at least {WITHIN:g}", "needs Go and govmomi")]
    binary()
    auto = made("auto", scale)
    return [row(what, auto, {limit: made(str(limit), scale) for limit in scale.clones})]


def made(limit: str, scale: Scale) -> float:
    """Return the VMs a second under a limit.

    All limits are measured after the same time, because the simulator becomes slower the more VMs it has.
    """
    return rate(limit, BEARS, ALONE, scale.filling / 2, scale.filling)


def row(what: str, auto: float, fixed: dict[int, float]) -> ResultRow:
    """Return the row that compares both."""
    best = max(fixed, key=lambda limit: fixed[limit])
    ratio = auto / fixed[best]
    rates = ", ".join(f"{limit}: {speed:.2f}/s" for limit, speed in fixed.items())
    return ResultRow(
        what,
        f"{auto:.2f}/s",
        floor=rates,
        ratio=f"{ratio:.2f}",
        target=f"at least {WITHIN:g}",
        met=ratio >= WITHIN,
        figures={"ratio": ratio, "auto": auto, "best": fixed[best]},
    )
