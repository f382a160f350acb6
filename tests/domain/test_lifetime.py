"""The lifetime of a VM, read from its record."""

import pytest

from vmpooler.domain import lifetime


@pytest.mark.parametrize(("stored", "hours"), [("5", 5), ("12 hours", 12), (" 3", 3), ("1.9", 1), ("", 24)])
def test_a_lifetime_is_the_number_that_its_text_begins_with_else_the_default(stored: str, hours: float) -> None:
    assert lifetime.limit(stored, 24) == hours


@pytest.mark.parametrize("stored", ["0", "never", "-1", "0.9"])
def test_zero_and_text_mean_for_ever(stored: str) -> None:
    assert lifetime.limit(stored, 24) is None
