"""The reports that clients read about the service and about a VM."""

import pytest

from vmpooler.domain.counts import Counts, PoolCounts
from vmpooler.domain.times import moment, text
from vmpooler.settings import Pool
from vmpooler.web.views import status as status_view
from vmpooler.web.views.status import ALL_WELL
from vmpooler.web.views.vm import report

NOW = moment("2024-05-06 12:00:00 +0000") or 0.0

FULL = PoolCounts(ready=2, pending=0, running=1, completed=0, last_boot="2024-05-06 11:00:00 +0000")
DRY = PoolCounts(ready=0, pending=3, running=0, completed=2, last_boot="")

full = Pool(name="full", alias=("f", "one"), size=3)
dry = Pool(name="dry", size=2)
unused = Pool(name="unused", size=0)


def counted(
    *pools: PoolCounts, cloning: int = 0, clone: tuple[float, ...] = (), boot: tuple[float, ...] = ()
) -> Counts:
    return Counts(pools, cloning, clone, boot)


def test_the_status_has_its_members_sorted_by_name() -> None:
    assert list(status_view.status([], counted(), 0)) == ["boot", "capacity", "clone", "pools", "queue", "status"]


def test_all_is_well_when_each_pool_has_a_ready_vm() -> None:
    status = status_view.status([full, unused], counted(FULL, PoolCounts(0, 0, 0, 0, "")), 12.345)
    assert status["status"] == {"ok": True, "message": ALL_WELL, "uptime": 12.3}


def test_pools_that_ran_dry_are_counted_and_named() -> None:
    status = status_view.status([full, dry, dry], counted(FULL, DRY, DRY), 0)["status"]
    assert status == {"ok": False, "message": "Found 2 empty pools.", "empty": ["dry", "dry"], "uptime": 0}


def test_the_report_of_a_pool_has_its_queues_its_size_and_its_aliases() -> None:
    pools = status_view.status([full, dry], counted(FULL, DRY), 0)["pools"]
    assert pools == {
        "full": {"ready": 2, "running": 1, "pending": 0, "max": 3, "alias": ["f", "one"], "lastBoot": FULL.last_boot},
        "dry": {"ready": 0, "running": 0, "pending": 3, "max": 2, "lastBoot": ""},
    }


def test_the_queue_adds_up() -> None:
    queue = status_view.status([full, dry], counted(FULL, DRY, cloning=2), 0)["queue"]
    assert queue == {
        "pending": 3,
        "cloning": 2,
        "booting": 1,
        "ready": 2,
        "running": 1,
        "completed": 2,
        "total": 8,
    }
    assert status_view.status([full], counted(FULL, cloning=9), 0)["queue"]["booting"] == 0


def test_the_capacity_is_a_share_of_what_is_kept() -> None:
    assert status_view.status([full], counted(FULL), 0)["capacity"] == {"current": 2, "total": 3, "percent": 66.7}
    nothing = status_view.status([unused], counted(PoolCounts(0, 0, 0, 0, "")), 0)["capacity"]
    assert nothing == {"current": 0, "total": 0, "percent": 0}


def test_the_days_clones_are_summed_up() -> None:
    status = status_view.status([], counted(clone=(10.1, 20.2, 0.1)), 0)
    assert status["clone"] == {
        "duration": {"average": 10.1, "min": 0.1, "max": 20.2, "total": 30.4},
        "count": {"total": 3},
    }
    assert status["boot"] == {"duration": {"average": 0, "min": 0, "max": 0, "total": 0}, "count": {"total": 0}}


def test_pools_are_not_judged_by_a_view_that_leaves_them_out() -> None:
    assert status_view.status([dry], counted(DRY), 0, ["queue"])["status"]["ok"] is True
    assert status_view.status([dry], counted(DRY), 0, ["queue", "pools"])["status"]["ok"] is False
    assert list(status_view.status([dry], counted(DRY), 0, [])) == ["status"]


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ({"template": "a-b"}, "pending"),
        ({"check": "x"}, "ready"),
        ({"check": "x", "checkout": text(NOW)}, "running"),
        ({"check": "x", "checkout": text(NOW), "destroy": text(NOW)}, "destroyed"),
        ({"check": "x", "destroy": text(NOW)}, "destroyed"),
    ],
)
def test_the_state_is_the_last_thing_that_happened(record: dict[str, str], state: str) -> None:
    assert report(record, 24, NOW)["state"] == state


def test_the_report_of_a_running_vm_has_how_long_it_runs_and_will() -> None:
    vm = report({"template": "a-b", "checkout": text(NOW - 5400), "lifetime": "4"}, 24, NOW)
    assert vm == {
        "template": "a-b",
        "lifetime": 4,
        "running": 1.5,
        "remaining": 2.5,
        "start_time": "2024-05-06T10:30:00+00:00",
        "end_time": "2024-05-06T14:30:00+00:00",
        "state": "running",
    }


def test_a_vm_without_a_lifetime_of_its_own_has_the_default() -> None:
    vm = report({"checkout": text(NOW)}, 12, NOW)
    assert (vm["lifetime"], vm["remaining"], vm["end_time"]) == (12, 12.0, "2024-05-07T00:00:00+00:00")


def test_a_lifetime_is_a_whole_number_of_hours_that_can_be_divided_by() -> None:
    assert report({}, 0.25, NOW)["lifetime"] == 1


def test_a_vm_that_lives_for_ever_has_no_end() -> None:
    vm = report({"checkout": text(NOW), "lifetime": "none"}, 24, NOW)
    assert "end_time" not in vm
    assert "remaining" not in vm
    assert vm["running"] == 0.0


def test_a_lifetime_beyond_all_dates_has_an_end_all_the_same() -> None:
    vm = report({"checkout": text(NOW), "lifetime": "999999999999999"}, 24, NOW)
    assert vm["end_time"] == "9999-12-31T23:59:59+00:00"


def test_the_report_of_a_destroyed_vm_has_how_long_it_was_out() -> None:
    record = {"checkout": text(NOW - 7200), "destroy": text(NOW - 3600)}
    vm = report(record, 24, NOW)
    assert vm["running"] == 1.0
    assert "remaining" not in vm


@pytest.mark.parametrize(
    "record",
    [{"destroy": text(NOW)}, {"checkout": "no date"}, {"checkout": text(NOW), "destroy": "no date"}, {"checkout": ""}],
)
def test_what_was_never_checked_out_has_not_been_running(record: dict[str, str]) -> None:
    assert "running" not in report(record, 24, NOW)


def test_tags_snapshots_and_disks_are_there_when_there_are_any() -> None:
    record = {"tag:a:b": "1", "tag:c": "", "snapshot:x": "2024", "snapshot:y": "2025", "disk": "+8gb:+1gb"}
    vm = report(record, 24, NOW)
    assert vm["tags"] == {"a:b": "1", "c": ""}
    assert vm["snapshots"] == ["x", "y"]
    assert vm["disk"] == ["+8gb", "+1gb"]
    assert not {"tags", "snapshots", "disk"} & set(report({"template": "a"}, 24, NOW))


def test_the_template_is_the_pools_name_whichever_field_has_it() -> None:
    assert report({"pool": "a-b"}, 24, NOW)["template"] == "a-b"
    assert report({}, 24, NOW)["template"] is None
