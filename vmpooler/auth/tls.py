"""TLS to the LDAP server: verifies the certificate, and gives a reason when it is refused."""

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.python.failure import Failure
from zope.interface import implementer

from vmpooler.domain.errors import StartError
from vmpooler.settings import Ldap

UNKNOWN_ISSUER = "nobody who is trusted has signed it; give the file of its CA as auth.ldap.ca_file"
PROBLEMS = {
    9: "it is not valid yet",
    10: "it has expired",
    18: UNKNOWN_ISSUER,
    19: UNKNOWN_ISSUER,
    20: UNKNOWN_ISSUER,
    21: UNKNOWN_ISSUER,
    26: "it is not for servers",
    66: "its key is too weak",
    67: "the key of its CA is too weak",
    68: "its signature is too weak",
}
"""OpenSSL's verify errors, as texts for operators."""


class CertificateRefused(Exception):
    """The certificate of the server is not valid for the configured host; the text contains the reason."""


@implementer(IOpenSSLClientConnectionCreator)
class Tls:
    """Creates connections with TLS 1.2 or later to the configured host. Raises StartError for an unusable CA file.

    Twisted's ``optionsForClientTLS`` does the same without the reason: for a certificate that has expired and for one
    of an unknown CA, its only error is "certificate verify failed".
    """

    def __init__(self, settings: Ldap) -> None:
        self._host, self._verified = settings.host, settings.tls_verify
        self._is_address = isIPAddress(settings.host) or isIPv6Address(settings.host)
        self._context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        self._context.set_min_proto_version(SSL.TLS1_2_VERSION)
        if settings.ca_file:
            try:
                self._context.load_verify_locations(settings.ca_file)
            except SSL.Error:
                raise StartError(f"auth.ldap.ca_file: cannot read certificates from {settings.ca_file}") from None
        else:
            self._context.set_default_verify_paths()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """Return a connection before its handshake; a bad certificate makes ``tlsProtocol`` fail."""
        connection = SSL.Connection(self._context, None)
        if not self._is_address:
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        if self._verified:
            connection.set_verify(SSL.VERIFY_PEER, self._verifier(tlsProtocol))
        return connection

    def _verifier(self, protocol: Any) -> Callable[[Any, Any, int, int, int], bool]:
        def verify(_connection: Any, certificate: Any, error: int, depth: int, good: int) -> bool:
            why = "" if good else PROBLEMS.get(error, f"OpenSSL's verify error {error}")
            if good and depth == 0:
                why = self._wrong_host(certificate)
            if why:
                protocol.failVerification(Failure(CertificateRefused(why)))
            return not why

        return verify

    def _wrong_host(self, certificate: Any) -> str:
        """Return why the certificate does not belong to the host; empty when it does."""
        identity = IPAddress_ID(self._host) if self._is_address else DNS_ID(self._host)
        try:
            verify_service_identity(extract_patterns(certificate), [identity], [])
        except (CertificateError, VerificationError):
            return f"it is not for {self._host}; auth.ldap.host must be a name that stands in it"
        return ""
