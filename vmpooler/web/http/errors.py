"""Errors as replies: one table maps them to statuses."""

from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from vmpooler.domain.errors import (
    AuthAway,
    Invalid,
    NoSuchToken,
    NoSuchVm,
    NothingToDelete,
    NotYours,
    PasswordNeeded,
    PoolEmpty,
    PoolGone,
    StoreAway,
    TokenNeeded,
    Unfit,
    UnknownPools,
)
from vmpooler.web.http import json
from vmpooler.web.http.server import Request

STATUS: dict[type[Exception], int] = {
    Invalid: 400,
    Unfit: 400,
    PasswordNeeded: 401,
    TokenNeeded: 401,
    NothingToDelete: 401,
    NotYours: 403,
    NoSuchToken: 404,
    NoSuchVm: 404,
    UnknownPools: 404,
    PoolGone: 409,
    HTTPException: 404,  # no route with this path, or not with this method
    PoolEmpty: 503,
    StoreAway: 503,
    AuthAway: 503,
}
"""The status of each error. Any other error is a defect, and its status is 500."""

EXPLAINED = (Invalid, NotYours, PoolGone, StoreAway, AuthAway)
"""The errors whose text is sent. For the others, clients know only one answer. Source: docs/compatibility.md#errors."""

CHALLENGE = 'Basic realm="Authentication required"'
"""Sent with every 401. Source: docs/compatibility.md#client-traps."""

log = Logger()


def error_reply(request: Request, failure: Failure) -> tuple[int, bytes]:
    """Return the status and the body for a failure."""
    status = next((STATUS[kind] for kind in STATUS if failure.check(kind)), 500)
    reply: dict[str, Any] = {"ok": False}
    if status == 500:
        log.failure("[!] {request} failed", failure, request=request.route)
        reply["message"] = "internal error"
    elif failure.check(*EXPLAINED):
        reply["message"] = failure.getErrorMessage()
    elif isinstance(failure.value, Unfit) and failure.value.failures:
        reply["failure"] = failure.value.failures
    if status == 401:
        request.setHeader("WWW-Authenticate", CHALLENGE)
    return status, json.of(reply)
