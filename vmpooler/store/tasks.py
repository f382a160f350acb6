"""What clients asked to be done to VMs: durable from the answer on, in order for each VM, until done or given up.

Note [Intake]

A request stands first in the original's set for its kind, as ``VM:argument``, followed by an id which the original
ignores: equal requests stay two. A manager adopts requests into the books of their pools (a hash, id -> task), one
script for all. There they stay until a script says that they are done: a manager that dies in between leaves a task
that the next one does again, and providers take a request that they have carried out already for done.
"""

import json
from collections.abc import Sequence

from vmpooler.domain import times
from vmpooler.domain.admission import Admission
from vmpooler.domain.names import Choice, random_name
from vmpooler.domain.pace import BACKOFF_FIRST, BACKOFF_MOST
from vmpooler.domain.tasks import Kind, Task
from vmpooler.settings import Settings
from vmpooler.store import keys
from vmpooler.store.admission import admitted, shown
from vmpooler.store.commands import Commands
from vmpooler.store.transition import Transitions

UNLIKE = 8
"""Random characters in the id of a request: a Redis that lost its data must not give out an id again."""


NO_FIELD = "-"
"""What no record has."""


class Tasks:
    """Requests on their way from clients to providers; ``by`` is who works on them."""

    def __init__(self, connection: Commands, settings: Settings, choice: Choice, by: str) -> None:
        self._transitions = Transitions(connection, settings.general.events_max, by)
        self._tries = settings.general.task_tries
        self._pools = json.dumps([pool.name for pool in settings.pools])
        self._choice = choice

    async def request(self, vm: str, kind: Kind, argument: str | None, admission: Admission, now: float) -> None:
        """Ask for something. Raises TokenNeeded or NotYours where the client is not admitted, NoSuchVm when there is no
        such VM, or no such snapshot to go back to, PoolGone when the VM's pool is not configured any more. With
        ``argument`` None nothing is asked for, and it only raises."""
        touched = (keys.token(admission.token or ""), keys.intake(kind), keys.TASK_NUMBER, keys.DRAINING, keys.POOLS)
        field = NO_FIELD if argument is None else f"snapshot:{argument}" if kind is Kind.REVERT else ""
        id = random_name(self._choice, UNLIKE)
        args = (times.text(now), *shown(admission), kind, argument or "", id, self._pools, field)
        admitted(await self._transitions.run("request", "", vm, now, touched, args), vm)

    async def adopt(self, pools: Sequence[str], now: float) -> list[str]:
        """Take requests for VMs of these pools into their books; the pools that got some."""
        intakes = [keys.intake(kind) for kind in Kind]
        args = (keys.RECORD, keys.tasks(""), random_name(self._choice, UNLIKE), json.dumps(list(pools)), *Kind)
        touched = (keys.TASK_NUMBER, *intakes)
        found: list[str] = await self._transitions.run("adopt", "", "", now, touched, args)
        return found

    async def finish(self, pool: str, task: Task, now: float) -> bool:
        """It is done."""
        args = (times.text(now), task.id, task.kind, task.argument)
        return bool(await self._transitions.run("finish_task", pool, task.vm, now, (keys.tasks(pool),), args))

    async def fail(self, pool: str, task: Task, why: str, now: float, *, final: bool = False) -> None:
        """It did not work: it is tried again, unless that was the last try or ``final``."""
        args = (task.id, why, BACKOFF_FIRST, BACKOFF_MOST, 1 if final else self._tries, str(task))
        await self._transitions.run("fail_task", pool, task.vm, now, (keys.tasks(pool),), args)
