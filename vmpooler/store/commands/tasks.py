"""Client requests to change VMs (tasks).

A task is durable once its request is answered. The tasks of one VM run in order, until they are finished or abandoned.

Note [Intake]

A request is first added to Ruby vmpooler's set for its kind, as ``VM:argument``, followed by an id that Ruby vmpooler
ignores; so equal requests stay separate. A manager adopts requests: one script moves them all to the hashes of their
pools (id -> task). A task stays there until a script records that it is finished. If a manager dies before that, the
next manager executes the task again. A provider treats a request that it has already executed as done.
"""

import json
from collections.abc import Sequence

from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.backoff import BACKOFF_FIRST, BACKOFF_MOST
from vmpooler.domain.names import Choice, random_name
from vmpooler.domain.tasks import Kind, Task
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.commands.transitions import Transitions, admitted, shown
from vmpooler.store.redis.scripts import RedisCommands

UNLIKE = 8
"""Number of random characters in a request id, so that a Redis that lost its data does not issue an id again."""


NO_FIELD = "-"
"""A field that no record has."""


class Tasks:
    """Requests from clients to providers. ``by`` is the author that events name."""

    def __init__(self, connection: RedisCommands, settings: Settings, choice: Choice, by: str) -> None:
        self._transitions = Transitions(connection, settings.general.events_max, by)
        self._tries = settings.general.task_tries
        self._pools = json.dumps([pool.name for pool in settings.pools])
        self._choice = choice

    async def request(self, vm: str, kind: Kind, argument: str | None, admission: Admission, now: float) -> None:
        """Add a request.

        Raises TokenNeeded or NotYours when the client is not authorized, NoSuchVm when the VM, or the snapshot to
        revert to, does not exist, PoolGone when the VM's pool is no longer configured. With ``argument`` None no
        request is added: the method only raises the error that a request would get, or NoSuchVm.
        """
        answer = await self._transitions.run(
            "request",
            "",
            vm,
            now,
            **shown(admission),
            intake=keys.intake(kind),
            task_number=keys.TASK_NUMBER,
            draining=keys.DRAINING,
            pools=keys.POOLS,
            now_text=times.text(now),
            kind=kind,
            argument=argument or "",
            suffix=random_name(self._choice, UNLIKE),
            configured=self._pools,
            field=NO_FIELD if argument is None else f"snapshot:{argument}" if kind is Kind.REVERT else "",
        )
        admitted(answer, vm)

    async def adopt(self, pools: Sequence[str], now: float) -> list[str]:
        """Move the new requests for VMs of these pools to their pools' hashes; return the pools that got any."""
        found: list[str] = await self._transitions.run(
            "adopt",
            "",
            "",
            now,
            task_number=keys.TASK_NUMBER,
            intakes=[keys.intake(kind) for kind in Kind],
            tasks_prefix=keys.tasks(""),
            suffix=random_name(self._choice, UNLIKE),
            configured=json.dumps(list(pools)),
            kinds=list(Kind),
        )
        return found

    async def finish(self, pool: str, task: Task, now: float) -> bool:
        """Remove a finished task. Returns False when it was already gone."""
        done = {"id": task.id, "kind": task.kind, "argument": task.argument, "now_text": times.text(now)}
        return bool(await self._transitions.run("finish_task", pool, task.vm, now, tasks=keys.tasks(pool), **done))

    async def fail(self, pool: str, task: Task, why: str, now: float, *, final: bool = False) -> None:
        """Record a failed try. The task is retried, unless this was the last try or ``final`` is true."""
        await self._transitions.run(
            "fail_task",
            pool,
            task.vm,
            now,
            tasks=keys.tasks(pool),
            id=task.id,
            why=why,
            first_wait=BACKOFF_FIRST,
            longest=BACKOFF_MOST,
            most=1 if final else self._tries,
            text=str(task),
        )
