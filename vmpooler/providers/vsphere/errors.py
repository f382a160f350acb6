"""Errors at a vCenter, with texts that name the setting or object at fault."""

from __future__ import annotations

import socket
import ssl
from http.client import HTTPException, RemoteDisconnected
from typing import Any

from pyVmomi import vim, vmodl
from twisted.logger import Logger
from twisted.python.failure import Failure

from vmpooler.providers.base import ProviderError

log = Logger()

HINT = 60
"""Maximum number of characters shown of a response that did not come from a vCenter."""


class Away(ProviderError):
    """The provider has no connection to the vCenter now."""


class Refused(ProviderError):
    """The request was not carried out: the session, or an object in it, is no longer valid.

    The request can be sent again in a new session, after a new lookup of its objects.
    """


class Doubtful(ProviderError):
    """It is not known whether the request was carried out or will be."""


class NoResponse(HTTPException):
    """The answer to a call is neither its Response nor a Fault, for example the page of a proxy.

    As after a lost connection, it is not known whether the call was carried out, and nothing can be concluded from the
    answer. ``what`` describes the answer. It may contain text from any source, so it is shortened and escaped here.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"the answer is no vSphere response ({_bounded(what)}): is there a proxy in front of it?")


class Failed(ProviderError):
    """The vCenter did not carry out the request; ``fault`` is its reason."""

    def __init__(self, text: str, fault: Exception) -> None:
        self.fault = fault
        super().__init__(text)


def failure(error: Exception, what: str) -> ProviderError:
    """Return the error as a ProviderError about ``what``; its class depends on whether the request was carried out."""
    if isinstance(error, ProviderError):
        return error
    text = f"{what}: {reason(error)}"
    if isinstance(error, vim.fault.NotAuthenticated | vmodl.fault.ManagedObjectNotFound):
        return Refused(text)
    if isinstance(error, vmodl.MethodFault):
        return Failed(text, error)
    if isinstance(error, ConnectionRefusedError | socket.gaierror | ssl.SSLCertVerificationError):
        return Away(text)
    if not isinstance(error, OSError | HTTPException):
        log.failure("[!] {what}: an answer that was not expected", Failure(error), what=what)
    return Doubtful(text)


def _bounded(text: str) -> str:
    """Return at most ``HINT`` printable ASCII characters of the text."""
    shown = "".join(each if each.isprintable() else "?" for each in text[:HINT])
    return shown.encode("ascii", "backslashreplace").decode()[:HINT]


def reason(error: Any) -> str:
    """Return the reason for the error, on one line."""
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
        case vim.fault.NotAuthenticated():  # a subclass of NoPermission
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
    """Return the name of a fault, which is more precise than its message, and the message if it has one."""
    name = type(error).__name__.rpartition(".")[2]
    message = (error.msg or "").partition("\n")[0]
    detail = getattr(error, "reason", None) or getattr(error, "invalidProperty", None)
    return ": ".join([name, *(str(each) for each in (message, detail) if each and each != name)])
