"""The endpoint of Redis (Unix socket, TCP or TLS) and its trusted certificates."""

import re
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates

from vmpooler.domain.errors import StartError
from vmpooler.settings import Redis

CONNECT_TIMEOUT = 5.0
"""Timeout of one connection attempt, in seconds."""

PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def endpoint_of(settings: Redis, reactor: Any) -> IStreamClientEndpoint:
    """Return the endpoint that the settings describe. Raises StartError when the certificates cannot be read."""
    if settings.socket:
        return UNIXClientEndpoint(reactor, settings.socket, CONNECT_TIMEOUT)
    tcp = HostnameEndpoint(reactor, settings.server, settings.port, timeout=CONNECT_TIMEOUT)
    if not settings.tls:
        return tcp
    trust = _certificates(settings.tls_ca_file) if settings.tls_ca_file else platformTrust()
    return wrapClientTLS(optionsForClientTLS(settings.server, trust), tcp)


def _certificates(path: str) -> Any:
    try:
        certificates = [Certificate.loadPEM(block) for block in PEM.findall(Path(path).read_bytes())]
    except Exception as error:
        raise StartError(f"redis.tls_ca_file: cannot read {path}: {error}") from None
    if not certificates:
        raise StartError(f"redis.tls_ca_file: no certificate in {path}")
    return trustRootFromCertificates(certificates)
