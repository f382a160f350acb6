"""Tasks that clients request for a VM: extra disks, snapshots, reverts.

Tasks are durable, and run in order for each VM.
"""

import re
from enum import StrEnum

import attrs

SIZE = re.compile(r"[0-9]{1,5}", re.ASCII)


class Kind(StrEnum):
    """The kind of a task. The value is the name in the key of its intake queue."""

    DISK = "disk"
    SNAPSHOT = "snapshot"
    REVERT = "snapshot-revert"


@attrs.frozen
class Task:
    """One task. ``id`` increases with the order of requests.

    ``argument`` is the GB of a disk, or the name of a snapshot. ``tries`` is how often the task failed; it is retried
    at ``retry_at`` (epoch).
    """

    id: str
    kind: Kind
    vm: str
    argument: str
    tries: int = 0
    retry_at: float = 0

    def __str__(self) -> str:
        """Return a short description for people."""
        return f"disk +{self.argument}gb" if self.kind is Kind.DISK else f"{self.kind} {self.argument}"


def gigabytes(text: str) -> int:
    """Return the size of a disk from text that is one integer and nothing else; 0 for any other text."""
    return int(text) if SIZE.fullmatch(text) else 0
