"""Admission in scripts: what refusal in the prelude is given, and what its answers mean."""

from vmpooler.domain.admission import Admission
from vmpooler.domain.errors import NoSuchVm, NotYours, PoolGone, TokenNeeded
from vmpooler.domain.estate import REFUSED


def shown(admission: Admission) -> tuple[str, str]:
    """What a script is told of an admission, beside the key of its token."""
    return admission.need, "1" if admission.own else ""


def admitted(answer: int, vm: str) -> None:
    """Raise what a script's answer means, where it is not that something was done."""
    match answer:
        case -4:
            raise PoolGone(f"{vm}: {REFUSED}")
        case -2:
            raise NotYours(f"{vm} was checked out by another user")
        case -1:
            raise TokenNeeded(f"{vm}: a known token is needed")
        case 0:
            raise NoSuchVm(f"{vm} is not known, or not where this can be done")
