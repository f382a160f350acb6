"""What can go wrong at a vCenter, in words that say which setting or object is at fault."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, RemoteDisconnected
from typing import Any

from pyVmomi import vim, vmodl
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.providers.base import ProviderError

log = Logger()

HINT = 60
"""Characters shown of an answer that did not come from a vCenter."""


class Away(ProviderError):
    """There is no connection to the vCenter now."""


class Refused(ProviderError):
    """What was asked was not done, for the session or an object in it is no longer valid: it can be asked anew."""


class Doubtful(ProviderError):
    """Whether what was asked was done, or will be, is not known."""


class NoResponse(HTTPException):
    """The answer to a call is neither its Response nor a Fault, such as a proxy's page. As after a lost connection,
    whether the call was carried out is not known, and nothing follows from the answer. ``what`` says what it is
    instead; it is bounded and escaped here, for it may come from anywhere."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the answer is no vSphere response ({_bounded(what)}): is there a proxy in front of it?")


class Failed(ProviderError):
    """The vCenter did not do it; ``fault`` is its reason."""

    def __init__(self, text: str, fault: Exception) -> None:
        self.fault = fault
        super().__init__(text)


def failure(error: Exception, what: str) -> ProviderError:
    """The error as a ProviderError about ``what``, by whether it was done."""
    if isinstance(error, ProviderError):
        return error
    text = f"{what}: {reason(error)}"
    if isinstance(error, vim.fault.NotAuthenticated | vmodl.fault.ManagedObjectNotFound):
        return Refused(text)
    if isinstance(error, vmodl.MethodFault):
        return Failed(text, error)
    if isinstance(error, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError):
        return Away(text)
    if not isinstance(error, OSError | HTTPException | CancelledError):  # who waited has given up
        log.failure("[!] {what}: an answer that was not expected", Failure(error), what=what)
    return Doubtful(text)


def _bounded(text: str) -> str:
    """At most ``HINT`` printable ASCII characters."""
    shown = "".join(each if each.isprintable() else "?" for each in text[:HINT])
    return shown.encode("ascii", "backslashreplace").decode()[:HINT]


def reason(error: Any) -> str:
    """Why it failed, on one line."""
    if isinstance(error, vmodl.MethodFault):
        return _fault(error)
    if isinstance(error, OSError):
        return _no_connection(error)
    if isinstance(error, HTTPException) and not isinstance(error, NoResponse):
        return _bounded(str(error) or type(error).__name__)
    return str(error).partition("\n")[0] or type(error).__name__


def _no_connection(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}): check ca_file"
        case ssl.SSLError():
            return f"no TLS is spoken there ({error.reason})"
        case TimeoutError():
            return "no answer in time"
        case RemoteDisconnected() | ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return "the connection was cut"
        case _:
            return (error.strerror or type(error).__name__).lower()


def _fault(error: Any) -> str:
    match error:
        case vim.fault.InvalidLogin():
            return "the login was refused: check username and password"
        case vim.fault.NotAuthenticated():  # which is a NoPermission too
            return "the session has ended"
        case vim.fault.NoPermission():
            return f"the account lacks the right {error.privilegeId or 'to read it'}"
        case vim.fault.DuplicateName():
            return f"there is a VM called {error.name} already"
        case vim.fault.NoDiskSpace():
            return f"the datastore {error.datastore} is full"
        case vmodl.fault.ManagedObjectNotFound():
            return "it is no longer there"
        case _:
            return _named(error)


def _named(error: Any) -> str:
    """A fault's name, which says more than its message, and the message where there is one."""
    name = type(error).__name__.rpartition(".")[2]
    message = (error.msg or "").partition("\n")[0]
    detail = getattr(error, "reason", None) or getattr(error, "invalidProperty", None)
    return ": ".join([name, *(str(each) for each in (message, detail) if each and each != name)])
