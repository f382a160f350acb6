"""``task_limit: auto`` against a simulated vCenter that slows down: the real service finds what it bears."""

import pytest

from tests.load.bearing import rate

AT_WORST = 2.5
"""How many times as many VMs may come with the best fixed limit, on a busy machine; benchmarks/bearing.py is stricter.
Who stays at the first guess is three times as slow, and who knows no limit is slower still."""


@pytest.mark.alone
@pytest.mark.needs("vcsim")
def test_auto_finds_what_the_vcenter_bears() -> None:
    best = rate("12", "12:2", 2, warm=3, seconds=8)
    auto = rate("auto", "12:2", 2, warm=9, seconds=12)
    print(f"best fixed limit {best:.2f} VMs/s, auto {auto:.2f}: {best / auto:.2f} times")
    assert best < AT_WORST * auto
