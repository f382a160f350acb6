"""GET /summary: the events of each day."""

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from twisted.internet.task import LoopingCall

from tests.web.conftest import Serve, Served
from tests.web.test_vm import NO, now
from vmpooler.domain.times import day

DAYS, VMS, POOLS = 30, 2000, 50

TAGS = {
    "created_by": lambda vm: f"user{vm % 40}",
    "department": lambda vm: f"department {vm % 5}",
    "roles": lambda vm: "agent, master",
    "jenkins_build_url": lambda vm: f"https://ci.example.com/job/{vm // 10}",
}


def ago(days: int) -> str:
    return (date.fromisoformat(day(now())) - timedelta(days=days)).isoformat()


async def note(served: Served, kind: str, days_ago: int, fields: Mapping[str, str]) -> None:
    flat = [part for pair in fields.items() for part in pair]
    await served.store.call("HSET", f"vmpooler__{kind}__{ago(days_ago)}", *flat)


async def filled(serve: Serve) -> Served:
    """Return a service with two days of clone and boot times, in the old and the new form, and with tags of clients."""
    served = await serve()
    await note(served, "clone", 1, {"debian-12-x86_64:vm1": "10.50", "debian-12-x86_64:vm2": "", "vm3": "4.00"})
    await note(served, "boot", 1, {"debian-12-x86_64:vm1": "30.00"})
    await note(served, "clone", 0, {"debian-12-x86_64:vm4": "20.00"})
    await note(served, "tag", 0, {"vm4:user": "ann", "vm5:user": "ben", "vm4:url": "https://ci.example.com/?a=1,2"})
    return served


@pytest.mark.parametrize("path", ["/summary", "/api/v1/summary", "//summary/"])
async def test_a_summary_has_each_day_and_all_of_them_together(serve: Serve, path: str) -> None:
    served = await filled(serve)
    answer = await served.ask("GET", f"{path}?from={ago(1)}&to={ago(0)}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text.startswith('{\n  "boot": {\n    "duration": {\n      "average": 30.0,\n')
    found = answer.json
    assert set(found) == {"boot", "clone", "tag", "daily"}
    took = {"average": 11.5, "min": 4.0, "max": 20.0, "total": 34.5}
    assert {name: found["clone"]["duration"][name] for name in took} == took
    assert found["clone"]["count"]["pool"] == {"debian-12-x86_64": {"total": 2}, "unknown": {"total": 1}}
    assert [each["date"] for each in found["daily"]] == [ago(1), ago(0)]
    assert [each["boot"]["count"]["total"] for each in found["daily"]] == [1, 0]
    assert found["daily"][1]["tag"] == found["tag"]
    assert found["tag"]["user"] == {"ann": 1, "ben": 1, "total": 2}


async def test_without_dates_it_is_about_today(serve: Serve) -> None:
    found = (await (await filled(serve)).ask("GET", "/summary")).json
    assert [each["date"] for each in found["daily"]] == [ago(0)]
    assert found["clone"]["count"]["total"] == 1


async def test_a_future_end_is_today(serve: Serve) -> None:
    found = (await (await filled(serve)).ask("GET", f"/summary?from={ago(1)}&to=9999-12-31")).json
    assert [each["date"] for each in found["daily"]] == [ago(1), ago(0)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("from=2016-13-45", "Invalid date format '2016-13-45', must match YYYY-MM-DD."),
        ("from=%ff%00%0d%0aX:%20y", "Invalid date format '�\0\r\nX: y', must match YYYY-MM-DD."),
        ("to=", "Invalid date format '', must match YYYY-MM-DD."),
        ("from=2024-01-02&to=2024-01-01", "Date range is invalid, 'to' cannot come before 'from'."),
        ("from=9999-01-02", "Date range is invalid, 'to' cannot come before 'from'."),
        ("from=9999-01-02&to=9999-01-03", "Date range is invalid, 'from' must be in the past."),
        ("from=0001-01-01", "Date range is invalid, it cannot have more than 366 days."),
    ],
)
@pytest.mark.parametrize("path", ["/summary", "/summary/tag/user"])
async def test_what_is_no_range_of_days_is_refused(serve: Serve, path: str, query: str, message: str) -> None:
    answer = await (await serve()).ask("GET", f"{path}?{query}")
    assert (answer.status, answer.json) == (400, {"ok": False, "message": message})


@pytest.mark.parametrize("route", ["boot", "clone", "tag"])
@pytest.mark.parametrize("prefix", ["", "/api/v1"])
async def test_one_route_is_returned_alone(serve: Serve, prefix: str, route: str) -> None:
    served = await filled(serve)
    whole = (await served.ask("GET", f"/summary?from={ago(1)}")).json
    found = (await served.ask("GET", f"{prefix}/summary/{route}/?from={ago(1)}")).json
    assert found == {
        route: whole[route],
        "daily": [{"date": each["date"], route: each[route]} for each in whole["daily"]],
    }


async def test_a_key_leaves_one_member(serve: Serve) -> None:
    served = await filled(serve)
    found = (await served.ask("GET", "/summary/tag/user")).json
    users = {"user": {"ann": 1, "ben": 1, "total": 2}}
    assert found == {"tag": users, "daily": [{"date": ago(0), "tag": users}]}
    found = (await served.ask("GET", "/summary/clone/nothing")).json
    assert found == {"clone": {}, "daily": [{"date": ago(0), "clone": {}}]}


@pytest.mark.parametrize("path", ["/summary/vm", "/summary/vm/count", "/summary/tag/user/more"])
async def test_what_has_no_summary_is_refused(serve: Serve, path: str) -> None:
    answer = await (await serve()).ask("GET", path)
    assert (answer.status, answer.text) == (404, NO)


async def fill(served: Served, days_ago: int) -> None:
    """Write the clone times, boot times and tags of a busy day."""
    for kind in ("clone", "boot"):
        await note(served, kind, days_ago, {f"pool-{vm % POOLS}:vm{vm}": f"{vm % 97}.25" for vm in range(VMS)})
    for tag, value in TAGS.items():
        await note(served, "tag", days_ago, {f"vm{vm}:{tag}": value(vm) for vm in range(VMS)})


@pytest.mark.alone
@pytest.mark.limit(60)
async def test_a_month_of_busy_days_is_summed_up_quickly_and_others_are_served_meanwhile(serve: Serve) -> None:
    served = await serve()
    for days_ago in range(DAYS):
        await fill(served, days_ago)
    moments: list[float] = []
    beat: Any = LoopingCall(lambda: moments.append(perf_counter()))
    beat.start(0.001)
    took, pauses = {}, {}
    for state in ("cold", "warm"):
        moments.clear()
        start = perf_counter()
        answer = await served.ask("GET", f"/summary?from={ago(DAYS - 1)}")
        took[state] = perf_counter() - start
        pauses[state] = max(after - before for before, after in pairwise(moments))
        figures = f"{took[state]:.2f} s, longest pause {1000 * pauses[state]:.0f} ms"
        print(f"\n{DAYS} days of {VMS} VMs, {state}: {figures}", end="")
        assert answer.json["clone"]["count"]["total"] == DAYS * VMS
    beat.stop()
    assert took["cold"] < 10
    assert pauses["cold"] < took["cold"] / 2
    assert took["warm"] < took["cold"]
