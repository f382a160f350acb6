"""What can go wrong, by its meaning. The web's one table maps these to statuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class VmpoolerError(Exception):
    """The base of all errors that this service raises on purpose; its text is for people."""


class ConfigError(VmpoolerError):
    """The configuration cannot be used; ``mistakes`` has all of them, each with its path in the file."""

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class StartError(VmpoolerError):
    """The service cannot start; the text is one line that says what to do."""


class StoreAway(VmpoolerError):
    """Redis cannot be reached, or did not answer in time. Whether a command sent to it was carried out is unknown
    when ``sent`` is true; it was not when ``sent`` is false."""

    def __init__(self, text: str, *, sent: bool = False) -> None:
        self.sent = sent
        super().__init__(text)


class Invalid(VmpoolerError):
    """What a client sent is malformed."""


class Unfit(VmpoolerError):
    """What a client wants of a VM cannot be; ``failures`` say why, where clients are told. ``lifetime``: whether that
    was among it."""

    def __init__(self, failures: Sequence[str] = (), *, lifetime: bool = False) -> None:
        self.failures = tuple(failures)
        self.lifetime = lifetime
        super().__init__("; ".join(failures))


class NoSuchVm(VmpoolerError):
    """No record of that VM, or it does not stand where the request needs it."""


class UnknownPools(VmpoolerError):
    """A name that is neither a pool nor an alias."""


class PoolGone(VmpoolerError):
    """The pool of a VM is not configured any more; nothing was changed."""


class TokenNeeded(VmpoolerError):
    """A token is missing or unknown."""


class PasswordNeeded(VmpoolerError):
    """A user's name and password are missing or wrong."""


class NoSuchToken(VmpoolerError):
    """A token that is not known, none of a user's, or tokens where nobody logs in."""


class NothingToDelete(VmpoolerError):
    """The token to delete is not known."""


class NotYours(VmpoolerError):
    """What was to be changed is another user's, and the operator wants it left to its owner."""


class AuthAway(VmpoolerError):
    """Who knows the users cannot be asked, or did not answer in time; whether the password is right is not known."""


class GivenTwice(VmpoolerError):
    """A VM is another client's though it was given to one: what nothing here may ever do."""


class PoolEmpty(VmpoolerError):
    """Fewer VMs are ready than were asked for; nothing was changed."""


class NotLeading(VmpoolerError):
    """Another manager leads, or this one has given up the lease; nothing was changed."""
