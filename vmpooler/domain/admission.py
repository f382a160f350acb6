"""How a client is authorized to change something."""

from enum import StrEnum

import attrs


class Need(StrEnum):
    """When a request needs a token."""

    NEVER = ""
    WHERE_TAKEN = "taken"  # for a VM that was checked out with a token
    ALWAYS = "always"


@attrs.frozen
class Admission:
    """How a client is authorized.

    ``token`` is the token that it sent, None if it sent none. ``need`` is when one is required. ``own``: a client may
    change only what belongs to its own user.
    """

    token: str | None = attrs.field(default=None, repr=False)
    need: Need = Need.NEVER
    own: bool = False


FREE = Admission()
"""No authorization is required: used for the manager's own operations."""
