"""User names and passwords in requests."""

from base64 import b64decode


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
