"""What a client asked, when, and what it was told."""

from collections.abc import Mapping
from enum import StrEnum

import attrs


class Verb(StrEnum):
    """What clients do. To trespass is to do something to the VM of another with a token that nobody knows; nonsense is
    a change of which one part cannot be."""

    CHECKOUT = "checkout"
    GET = "get"
    TAG = "tag"
    LIFETIME = "lifetime"
    DISK = "disk"
    SNAPSHOT = "snapshot"
    REVERT = "revert"
    DELETE = "delete"
    TRESPASS = "trespass"
    NONSENSE = "nonsense"


@attrs.frozen
class Operation:
    """One request. Moments are in seconds since the epoch.

    ``status`` is None when no answer came: it may have been carried out, then or later. ``weather``: the answer was 503
    since Redis was away, and the same holds. ``wanted`` and ``given`` are of a checkout: how many of each pool or
    alias, and the VMs. ``value`` is the tag's value, the hours, the GB or the snapshot's name. What must be refused has
    a ``name`` or a ``value`` that nothing else has.
    """

    client: int
    verb: Verb
    began: float
    ended: float
    status: int | None
    weather: bool = False
    wanted: Mapping[str, int] = attrs.field(factory=dict)
    given: tuple[str, ...] = ()
    vm: str = ""
    name: str = ""
    value: str = ""

    @property
    def done(self) -> bool:
        """The client was told that it is done."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """Nobody told the client whether it was done."""
        return self.status is None or self.weather or self.status == 500

    @property
    def refused(self) -> bool:
        """The client was told that nothing was done."""
        return not self.done and not self.unknown
