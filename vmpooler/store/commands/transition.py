"""Runs the scripts that share the prelude: its keys and arguments, and those of its function ``refusal``."""

from typing import Any

import attrs

from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import NoSuchVm, NotYours, PoolGone, TokenNeeded
from vmpooler.domain.estate import REFUSED
from vmpooler.store import keys
from vmpooler.store.redis.scripts import Commands, Given, load


@attrs.frozen
class Transitions:
    """Runs scripts that write events. The stream keeps about ``kept`` events; ``by`` is the author that events name."""

    connection: Commands
    kept: int
    by: str

    async def run(self, script: str, pool: str, vm: str, now: float, /, **own: Given) -> Any:
        """Run a script for a VM of a pool (either may be empty) at ``now`` (epoch), and return its result.

        ``own``: the keys and arguments that are not those of the prelude.
        """
        return await self.connection.run(
            load(script), events=keys.EVENTS, now=f"{now:.3f}", kept=self.kept, by=self.by, pool=pool, vm=vm, **own
        )


def shown(admission: Admission) -> dict[str, str]:
    """Return the key and the arguments of ``refusal`` that describe an admission.

    They are the key of the client's token, when a token is needed, and ``"1"`` for own VMs only.
    """
    return {"token": keys.token(admission.token or ""), "need": admission.need, "own": "1" if admission.own else ""}


def admitted(answer: int, vm: str) -> None:
    """Raise the error that a script's return code stands for; return when the code reports success.

    Raises PoolGone for -4, NotYours for -2, TokenNeeded for -1, NoSuchVm for 0.
    """
    match answer:
        case -4:
            raise PoolGone(f"{vm}: {REFUSED}")
        case -2:
            raise NotYours(f"{vm} was checked out by another user")
        case -1:
            raise TokenNeeded(f"{vm}: a known token is needed")
        case 0:
            raise NoSuchVm(f"{vm} is not known, or not where this can be done")
