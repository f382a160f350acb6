"""Every benchmark still runs, in its smallest form. The measured values are only checked for plausibility."""

from pathlib import Path

import pytest

from benchmarks import floor, page, profile, reads
from benchmarks.__main__ import BENCHMARKS
from benchmarks.api import asked
from benchmarks.growth import chart
from benchmarks.rounds import compared
from benchmarks.scale import TINY
from benchmarks.wrk import LoadResult

BY_WRK = {"checkout", "status", "vm", "listeners", "workers"}

BOUNDS = {
    ("checkout", "rate"): (1 / 100, 10.0),
    ("checkout", "refused"): (0.0, 0.0),
    ("status", "late"): (0.0, 5.0),
    ("vm", "rate"): (1 / 100, 10.0),
    ("workers", "refused"): (0.0, 0.0),
    ("summary", "seconds"): (0.0, 10.0),
    ("fill", "seconds"): (0.0, 20.0),
    ("fill", "commands"): (1.0, 100.0),
    ("refill", "p99"): (0.0, 10_000.0),
    ("bearing", "ratio"): (0.01, 100.0),
    ("growth", "cpu"): (0.0, 100.0),
    ("growth", "connections"): (2.0, 50.0),
    ("listeners", "whole"): (1.0, 1.0),
    ("start", "seconds"): (0.1, 20.0),
}
"""For a figure of a benchmark, the least and the most that it can be on any machine: far beyond any target."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs("wrk")) for name in sorted(BY_WRK)])
def test_with_wrk_the_benchmark_runs(name: str) -> None:
    run(name)


@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - BY_WRK))
def test_the_benchmark_runs(name: str) -> None:
    run(name)


def run(name: str) -> None:
    found = [(row.what, figure, value) for row in BENCHMARKS[name](TINY) for figure, value in row.figures.items()]
    bounds = {figure: bound for (benchmark, figure), bound in BOUNDS.items() if benchmark == name}
    assert bounds.keys() <= {figure for _, figure, _ in found}
    for what, figure, value in found:
        least, most = bounds.get(figure, (float("-inf"), float("inf")))
        assert least <= value <= most, (what, figure)


@pytest.mark.needs("wrk")
def test_a_profile_shows_the_share_of_each_layer() -> None:
    report = profile.report(profile.counted(TINY, profile.SUBJECTS["vm"]))
    assert "| twisted.web" in report
    assert "| the wire to Redis" in report


def test_the_samples_of_py_spy_count_for_the_innermost_function() -> None:
    seen = profile.leaves("run (/lib/a.py);send (/lib/twisted/web/http.py) 3\nrun (/lib/a.py) 1\n")
    assert seen == {("/lib/twisted/web/http.py", "send"): 3, ("/lib/a.py", "run"): 1}
    assert [profile.room(path) for path, _ in seen] == ["twisted.web", profile.ELSEWHERE]


def test_a_run_with_refusals_misses_the_target() -> None:
    quick, slow = (LoadResult(rate=rate, cpu=100, p50=1, p99=2, refused=0, lost=0) for rate in (900, 1000))
    refusing = LoadResult(rate=9000, cpu=10, p50=1, p99=2, refused=1, lost=0)
    assert compared({"ours": [quick] * 3, "bare": [slow] * 3}, "bare", "a checkout", 0.5).met
    assert not compared({"ours": [quick] * 3, "bare": [slow] * 3}, "bare", "a checkout", 0.95).met
    row = compared({"ours": [refusing, quick, quick], "bare": [slow] * 3}, "bare", "a checkout", 0.5)
    assert (row.met, row.ours) == (False, "900/s, 100 µs, 1 refused")


def test_the_bare_resource_returns_what_our_service_returned() -> None:
    with reads.installation(TINY) as (ours, _):
        answer = ours.asked("GET", "/api/v1/vm")
        with floor.bare(answer.body, answer.headers) as bare:
            port = int(bare.url.rpartition(":")[2])
            assert [asked(port, method, "/anything") for method in ("GET", "POST")] == [answer] * 2


def test_a_run_replaces_only_its_part_of_the_page(tmp_path: Path) -> None:
    there = tmp_path / "page.md"
    there.write_text(f"before\n{page.BEGIN}old\n{page.END}after\n")
    for table in ("| one |\n", "| two |\n"):
        page.write(table, chart(()), 7.0, there)
    text = there.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{page.END}after\n")
    assert "| two |" in text
    assert "Other programs took 7 % of the machine meanwhile." in text
    assert "old" not in text
    assert "| one |" not in text
