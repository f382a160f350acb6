"""``task_limit: auto`` on a simulated vCenter that slows down: the real service finds a good limit."""

import pytest

from tests.verification.load.bearing import rate

POSSIBLE = (0.5, 8.0)
"""Minimum and maximum of both rates. The simulated vCenter completes 6 clones a second, and up to 12 more at the edges
of a measurement. Where it does not slow down, the rates are higher, and the comparison shows nothing."""

AT_WORST = 2.5
"""Maximum ratio of the VM rate with the best fixed limit to the rate with ``auto``, on a busy machine.

benchmarks/bearing.py is stricter. A service that keeps the initial limit is three times as slow, and one without a
limit is slower still.
"""


@pytest.mark.alone
@pytest.mark.needs("vcsim")
def test_auto_finds_the_clone_limit_of_the_vcenter() -> None:
    best = rate("12", "12:2", 2, warm=3, seconds=8)
    auto = rate("auto", "12:2", 2, warm=9, seconds=12)
    print(f"best fixed limit {best:.2f} VMs/s, auto {auto:.2f}: {best / auto:.2f} times")
    assert all(POSSIBLE[0] < each < POSSIBLE[1] for each in (best, auto))
    assert best < AT_WORST * auto
