"""``task_limit: auto`` and fixed limits, at a simulated vCenter that slows down beyond a number of clones at once."""

from benchmarks.row import Row, absent
from benchmarks.scale import Scale
from tests.load.bearing import rate
from tests.parts import PARTS
from tests.vcsim.simulator import binary

BEARS = "8:2"
"""As many clones at once take no longer than one; more take (clones / 8)² times as long."""

ALONE = 2.0
"""Seconds that such a clone takes."""

WITHIN = 0.85
"""The share of the best fixed limit's rate that is asked for."""


def measure(scale: Scale) -> list[Row]:
    """The one against the best of the others; all begin with an empty pool."""
    what = "clones with `task_limit: auto`, best fixed limit"
    if not PARTS["vcsim"].is_there():
        return [absent(what, f"at least {WITHIN:g}", "needs Go and govmomi")]
    binary()
    auto = made("auto", scale)
    return [row(what, auto, {limit: made(str(limit), scale) for limit in scale.clones})]


def made(limit: str, scale: Scale) -> float:
    """VMs a second under a limit; each after the same time, for the more VMs there are, the slower the simulator is."""
    return rate(limit, BEARS, ALONE, scale.filling / 2, scale.filling)


def row(what: str, auto: float, fixed: dict[int, float]) -> Row:
    """The line of both."""
    best = max(fixed, key=lambda limit: fixed[limit])
    ratio = auto / fixed[best]
    told = ", ".join(f"{limit}: {speed:.2f}/s" for limit, speed in fixed.items())
    return Row(
        what,
        f"{auto:.2f}/s",
        floor=told,
        ratio=f"{ratio:.2f}",
        target=f"at least {WITHIN:g}",
        met=ratio >= WITHIN,
        figures={"ratio": ratio, "auto": auto, "best": fixed[best]},
    )
