"""What a client requested, when, and the response."""

from collections.abc import Mapping
from enum import StrEnum

import attrs


class Verb(StrEnum):
    """The actions of clients. A trespass is an action on the VM of another client with an unknown token. Nonsense is a
    change with one part that is invalid."""

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

    ``status`` is None when no response arrived: the request may have been carried out, then or later. ``weather``: the
    response was 503 because Redis was away, and the same applies. ``wanted`` and ``given`` belong to a checkout: how
    many of each pool or alias, and the VMs. ``value`` is the tag's value, the hours, the GB or the snapshot's name. A
    request that must be refused has a ``name`` or a ``value`` that no other request has.
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
        """Whether the response was 2xx."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def unknown(self) -> bool:
        """Whether the client does not know if it was done."""
        return self.status is None or self.weather or self.status == 500

    @property
    def refused(self) -> bool:
        """Whether the client knows that nothing was done."""
        return not self.done and not self.unknown
