"""The errors of the service, one class for each meaning.

The web layer has one table that maps them to HTTP statuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class VmpoolerError(Exception):
    """The base of all errors that this service raises on purpose. The text is for people."""


class ConfigError(VmpoolerError):
    """The configuration cannot be used. ``mistakes`` has all mistakes, each with its path in the file."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class StartError(VmpoolerError):
    """The service cannot start. The text is one line that states what to do."""


class StoreAway(VmpoolerError):
    """Redis cannot be reached, or did not respond in time.

    If ``sent`` is true, it is unknown whether Redis ran the command. If ``sent`` is false, Redis did not run it.
    """

    def __init__(self, text: str, *, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(text)


class Invalid(VmpoolerError):
    """A client sent malformed data."""


class Unfit(VmpoolerError):
    """A client requested a change of a VM that is not possible.

    ``failures`` has the reasons, for replies that include them. ``lifetime``: whether the request contained a lifetime.
    """

    def __init__(self, failures: Sequence[str] = (), *, lifetime: bool = False) -> None:
        self.failures = tuple(failures)
        self.lifetime = lifetime
        super().__init__("; ".join(failures))


class NoSuchVm(VmpoolerError):
    """The VM has no record, or is not in the queue that the request needs."""


class UnknownPools(VmpoolerError):
    """A name is neither a pool nor an alias."""


class PoolGone(VmpoolerError):
    """The pool of a VM is not configured any more. Nothing was changed."""


class TokenNeeded(VmpoolerError):
    """A token is missing or unknown."""


class PasswordNeeded(VmpoolerError):
    """A user's name and password are missing or wrong."""


class NoSuchToken(VmpoolerError):
    """A token is unknown, a user has no tokens, or no authentication is configured."""


class NothingToDelete(VmpoolerError):
    """The token to delete is unknown."""


class NotYours(VmpoolerError):
    """The object to change belongs to another user, and the operator allows only its owner to change it."""


class AuthAway(VmpoolerError):
    """The authentication server cannot be reached, or did not respond in time.

    Whether the password is right is unknown.
    """


class GivenTwice(VmpoolerError):
    """A VM that was handed out to one client belongs to another client. This must never happen."""


class PoolEmpty(VmpoolerError):
    """Fewer VMs are ready than were requested. Nothing was changed."""


class NotLeading(VmpoolerError):
    """Another manager leads, or this one has given up the leadership lease. Nothing was changed."""
