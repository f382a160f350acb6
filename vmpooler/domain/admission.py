"""What a client must show before it changes something."""

from enum import StrEnum

import attrs


class Need(StrEnum):
    """When a token is needed."""

    NEVER = ""
    WHERE_TAKEN = "taken"  # of a VM that was checked out with one
    ALWAYS = "always"


@attrs.frozen
class Admission:
    """A client: the token that it sent (None if it sent none), what it needs, and whether what it changes must be its
    own user's."""

    token: str | None = attrs.field(default=None, repr=False)
    need: Need = Need.NEVER
    own: bool = False


FREE = Admission()
"""Nobody is asked: the manager's own."""
