"""The list of cases, and the contents of a row. ``python -m tests.cases`` plays the cases themselves."""

from pathlib import Path

import pytest

from tests.cases import __main__ as program
from tests.cases.case import CASES, FaultCase, Play
from tests.cases.world import CaseWorld, hold
from tests.parts import ALL_TESTS, PARTS
from tests.service.process import TWISTD


def test_every_kind_has_a_case_and_names_are_unique() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {name[0] for name in names} == set("12345678")
    assert {part for case in CASES for part in case.needs} <= PARTS.keys()


def test_the_list_names_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [case.name for case in CASES]


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["--only", "9z"])
    assert "no such case: 9z" in capsys.readouterr().err


def well(world: CaseWorld) -> str:
    return f"{world.home} was there"


def wrong(world: CaseWorld) -> str:
    hold(False, "it is destroyed")
    return ""


def broken(world: CaseWorld) -> str:
    raise OSError("no reply")


@pytest.mark.parametrize(
    ("play", "outcome", "facts"),
    [(well, "OK", "was there"), (wrong, "FAILED", "it is destroyed"), (broken, "FAILED", "OSError: no reply")],
)
def test_a_row_shows_the_result_of_a_case_and_its_folder_is_removed(play: Play, outcome: str, facts: str) -> None:
    done = program.play(FaultCase("1x", "a title", "what was seen", play), TWISTD)
    assert (done.outcome, facts in done.facts) == (outcome, True)
    text = program.row(done)
    assert "a title" in text
    assert f"{outcome}: " in text
    if play is well:
        assert not Path(done.facts.split()[0]).exists()


def test_a_case_whose_parts_are_missing_is_skipped_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "nothing", type(PARTS["curl"])(lambda: False, "none"))
    case = FaultCase("1x", "a title", "what was seen", well, ("nothing",))
    monkeypatch.delenv(ALL_TESTS, raising=False)
    assert program.play(case, TWISTD).outcome == "LEFT OUT"
    monkeypatch.setenv(ALL_TESTS, "1")
    assert program.play(case, TWISTD).outcome == "FAILED"
