"""What clients ask to be done to a VM: extra disks, snapshots, reverts. Durable work, done in order for each VM."""

import re
from collections.abc import Iterable
from enum import StrEnum

import attrs

SIZE = re.compile(r"[0-9]{1,5}", re.ASCII)


class Kind(StrEnum):
    """What is to be done; the value is what the key of its intake says."""

    DISK = "disk"
    SNAPSHOT = "snapshot"
    REVERT = "snapshot-revert"


@attrs.frozen
class Task:
    """One request. ``id`` grows with the order of requests. ``argument``: the GB of a disk, the name of a snapshot.

    ``tries`` is how often it failed; it is tried again at ``retry_at`` (epoch).
    """

    id: str
    kind: Kind
    vm: str
    argument: str
    tries: int = 0
    retry_at: float = 0

    def __str__(self) -> str:
        """What it is, for people."""
        return f"disk +{self.argument}gb" if self.kind is Kind.DISK else f"{self.kind} {self.argument}"


def gigabytes(text: str) -> int:
    """The size of a disk, given as a whole number and nothing beside it; 0 for what is none."""
    return int(text) if SIZE.fullmatch(text) else 0


def first_of_each(tasks: Iterable[Task]) -> dict[str, Task]:
    """The task of each VM that is to be done before its others."""
    first: dict[str, Task] = {}
    for task in sorted(tasks, key=lambda task: task.id):
        first.setdefault(task.vm, task)
    return first
