"""When the tasks that clients requested are run."""

from tests.domain.test_plan import NOW, POOL, guest
from vmpooler.domain.actions import RunTask
from vmpooler.domain.model import PoolState, Queue, Vm
from vmpooler.domain.plan import Rules, plan_pool
from vmpooler.domain.tasks import Kind, Task


def test_a_task_that_failed_waits_until_it_is_due_and_those_behind_it_wait_too() -> None:
    failed = Task("1", Kind.DISK, "vm", "8", tries=1, retry_at=NOW + 1)
    state = PoolState(
        vms=(Vm("vm", Queue.RUNNING, checkout=NOW, lifetime=3600.0),),
        inventory={"vm": guest("vm")},
        tasks=(failed, Task("2", Kind.SNAPSHOT, "vm", "after")),
    )
    due = RunTask("vm", failed)
    for now, expected in ((NOW, []), (NOW + 1, [due])):
        assert [each for each in plan_pool(POOL, state, now, Rules()) if isinstance(each, RunTask)] == expected
