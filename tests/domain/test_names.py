"""Names of VMs, and whether the host name of a guest matches one."""

import random
import re

import pytest

from vmpooler.domain import names


def test_a_vm_name_is_the_prefix_then_a_letter_then_letters_and_digits() -> None:
    choice = random.Random(1).choice
    made = [names.vm_name(choice, "ci-") for _ in range(500)]
    assert all(re.fullmatch(r"ci-[a-y][a-z0-9]{14}", name) for name in made)
    assert len(set(made)) == 500


@pytest.mark.parametrize("hostname", ["pool-abc", "pool-abc.example.com"])
def test_a_guest_goes_by_its_short_name_or_its_whole_one(hostname: str) -> None:
    assert names.is_called(hostname, "pool-abc")


@pytest.mark.parametrize("hostname", ["", "pool-abcd", "pool", "other", ".pool-abc"])
def test_a_guest_of_another_name_or_none_is_another(hostname: str) -> None:
    assert not names.is_called(hostname, "pool-abc")
