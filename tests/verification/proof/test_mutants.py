"""The list of deliberate faults fits the source. ``python -m tests.verification.proof.mutants`` tests each of them."""

import re

import pytest

from tests.verification.proof.invariants import INVARIANTS
from tests.verification.proof.mutants.catalogue import ROOT, Mutant, mutants

ALL = mutants()


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_the_text_that_a_mutant_replaces_occurs_once(mutant: Mutant) -> None:
    assert mutant.applied(ROOT) != (ROOT / mutant.file).read_text(encoding="utf-8")


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_the_tests_of_a_mutant_exist(mutant: Mutant) -> None:
    for test in mutant.tests:
        file, *_, name = test.split("::")
        assert (ROOT / file).exists()
        places = ROOT / file, ROOT / "vmpooler" / "testing" / "contract.py"
        assert any(re.search(rf"def {name}\b", each.read_text(encoding="utf-8")) for each in places)


def test_every_invariant_has_mutants_and_names_are_unique() -> None:
    assert {mutant.invariant for mutant in ALL} == {*INVARIANTS}
    assert len({mutant.name for mutant in ALL}) == len(ALL)
