"""The page about the proof agrees with the code and the ledger."""

from tests.verification.proof import ledger, page
from tests.verification.proof.invariants import INVARIANTS


def test_the_page_has_the_invariants_as_the_checks_have_them() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    for invariant in INVARIANTS:
        assert f"| {invariant} | {invariant.meaning} |" in text


def test_the_page_shows_what_the_ledger_keeps() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.shown(text, ledger.read()) == text


def test_pieces_of_a_soak_are_added_up() -> None:
    one = {"pieces": 1, "chaos": {"operations": 5, "full again after": 7.0, "takeovers": [1.5], "seen": {"a": 1}}}
    other = {"pieces": 1, "chaos": {"operations": 3, "full again after": 4.0, "takeovers": [2.5], "seen": {"b": 1}}}
    assert ledger.added(one, other) == {
        "pieces": 2,
        "chaos": {"operations": 8, "full again after": 7.0, "takeovers": [1.5, 2.5], "seen": {"a": 1, "b": 1}},
    }


def test_a_soak_in_which_a_pool_was_never_full_again_is_shown() -> None:
    known = ledger.read().get("soak") or ledger.read()["prove"]
    never = {**known, "chaos": {**known["chaos"], "full again after": None}}
    assert ledger.added(never, known)["chaos"]["full again after"] is None
    assert ledger.added(known, never)["chaos"]["full again after"] is None
    assert "Not every pool was full again." in page.shown(page.PAGE.read_text(encoding="utf-8"), {"soak": never})
