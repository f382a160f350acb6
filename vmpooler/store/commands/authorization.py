"""Authorization in Lua scripts: the arguments of ``refusal`` in the prelude, and the meaning of its return codes."""

from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import NoSuchVm, NotYours, PoolGone, TokenNeeded
from vmpooler.domain.estate import REFUSED


def shown(admission: Admission) -> tuple[str, str]:
    """Return the script arguments that describe an admission: when a token is needed, and ``"1"`` for own VMs only.

    The key of the client's token is passed to the script separately.
    """
    return admission.need, "1" if admission.own else ""


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
