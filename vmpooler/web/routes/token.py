"""Routes to create, list, show and delete tokens."""

from collections.abc import Callable
from typing import Any

from vmpooler.auth import Authenticator
from vmpooler.domain.errors import NoSuchToken, PasswordNeeded
from vmpooler.domain.names import Choice, random_name
from vmpooler.store.commands.tokens import Token, Tokens
from vmpooler.web.http.credentials import credentials_of
from vmpooler.web.http.json import Json
from vmpooler.web.http.server import Request

LENGTH = 32
"""Characters of a token. Source: docs/compatibility.md#ids."""


class TokenRoutes:
    """The routes under ``/token``. Users log in for every route except the one that shows a token.

    Without an authenticator no tokens exist. With ``own``, only its own user may delete a token.
    """

    def __init__(
        self,
        authenticator: Authenticator | None,
        tokens: Tokens,
        own: bool,
        wall: Callable[[], float],
        choice: Choice,
    ) -> None:
        self._authenticator = authenticator
        self._tokens = tokens
        self._own = own
        self._wall = wall
        self._choice = choice

    async def names(self, request: Request) -> Json:
        """Return the tokens of the user. Raises NoSuchToken when the user has none."""
        tokens = await self._tokens.of(await self._user(request))
        if not tokens:
            raise NoSuchToken("this user has none")
        return {"ok": True, **{each.name: {"created": each.created, "last": each.last or "never"} for each in tokens}}

    async def create(self, request: Request) -> Json:
        """Create a token for the user."""
        user, name = await self._user(request), random_name(self._choice, LENGTH)
        await self._tokens.add(name, user, self._wall())
        return {"ok": True, "token": name}

    async def show(self, request: Request, token: str) -> Json:
        """Return a token, and the VMs that are held with it. No login is needed: the token itself is sufficient."""
        if self._authenticator is None:
            raise NoSuchToken("no authentication is configured")
        return {"ok": True, token: _report(await self._tokens.show(token))}

    async def delete(self, request: Request, token: str) -> Json:
        """Delete a token. Raises NothingToDelete or NotYours."""
        user = await self._user(request)
        await self._tokens.drop(token, user, self._own)
        return {"ok": True}

    async def _user(self, request: Request) -> str:
        """Check the password, and return the user. Raises NoSuchToken, PasswordNeeded or AuthAway."""
        if self._authenticator is None:
            raise NoSuchToken("no authentication is configured")
        given = credentials_of(request.getHeader(b"authorization"))
        if given is None or not await self._authenticator.check(*given):
            raise PasswordNeeded("the name or the password is wrong")
        return given[0]


def _report(token: Token) -> dict[str, Any]:
    report: dict[str, Any] = {"user": token.user, "created": token.created}
    if token.last:
        report["last"] = token.last
    if token.running:
        report["vms"] = {"running": token.running}
    return report
