"""What clients present: tokens, and user names with passwords."""

from base64 import b64decode

from vmpooler.domain.admission import FREE, Admission, Need
from vmpooler.settings import Auth
from vmpooler.web.http.server import Request


class Admissions:
    """Finds what a client must present to change a VM: nothing, if no auth is configured."""

    def __init__(self, auth: Auth | None) -> None:
        self._auth = auth

    def of(self, request: Request, need: Need = Need.WHERE_TAKEN) -> Admission:
        """Return how the client of this request is authorized."""
        if self._auth is None:
            return FREE
        own = self._auth.owner_only
        return Admission(request.token, Need.WHERE_TAKEN if own and need is Need.NEVER else need, own)


def credentials_of(header: bytes | None) -> tuple[str, str] | None:
    """Return the user and the password in an Authorization header; None when it is missing, not Basic or malformed."""
    scheme, _, encoded = (header or b"").strip().partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        user, colon, password = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, password) if colon else None
