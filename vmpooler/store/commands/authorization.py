"""Authorization in Lua scripts: the arguments of ``refusal`` in the prelude, and the meaning of its return codes."""

from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import NoSuchVm, NotYours, PoolGone, TokenNeeded
from vmpooler.domain.estate import REFUSED
from vmpooler.store import keys


def shown(admission: Admission) -> dict[str, str]:
    """Return the key and the arguments that describe an admission.

    They are the key of the client's token, when a token is needed, and ``"1"`` for own VMs only.
    """
    return {
        "token": keys.token(admission.token or ""),
        "need": admission.need,
        "own": "1" if admission.own else "",
    }


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
