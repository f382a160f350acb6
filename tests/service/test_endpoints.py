"""The API on a unix socket, and with TLS."""

import http.client
import json
import signal
import socket
import ssl
import warnings
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.ports import free_port
from tests.service.process import QUICK, Service

REQUEST = b"GET /api/v1/status HTTP/1.0\r\n\r\n"


def asked(client: socket.socket) -> bool:
    """Request the status over this connection, and return whether the API answers."""
    client.settimeout(10)
    client.sendall(REQUEST)
    answer = b"".join(iter(lambda: client.recv(65536), b""))
    return "status" in json.loads(answer.partition(b"\r\n\r\n")[2])


def by_socket(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return asked(client)


def test_a_unix_socket_also_one_that_a_killed_service_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with Service(QUICK, f"--listen=unix:{path}", directory=tmp_path) as service:
        assert by_socket(path)
        assert f"curl -X POST --unix-socket {path} http://localhost/api/v1/vm/linux\n" in service.said
        service.kill()
        assert path.exists()
        service.start()
        assert by_socket(path)
        service.stop()
        assert not path.exists()


def test_tls(tmp_path: Path) -> None:
    key, certificate = certified(tmp_path)
    trusted, port = ssl.create_default_context(cafile=certificate), free_port()
    with Service(QUICK, f"--listen=ssl:{port}:interface=127.0.0.1:privateKey={key}:certKey={certificate}") as service:
        assert f"[*] the API: https://127.0.0.1:{port}/api/v1\n" in service.said
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            trusted.wrap_socket(plain, server_hostname="localhost") as client,
        ):
            assert client.version() == "TLSv1.3"
            assert asked(client)
        assert shaken(port, certificate, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        assert shaken(port, certificate, ssl.TLSVersion.TLSv1_1) == "TLSV1_ALERT_PROTOCOL_VERSION"
        with closing(http.client.HTTPSConnection("localhost", port, timeout=10, context=trusted)) as listener:
            listener.request("GET", "/api/v1/events")
            with closing(listener.getresponse()) as answer:
                assert b"event: state\n" in iter(answer.readline, b"")
                assert service.stop() == -signal.SIGTERM
                answer.read()


def shaken(port: int, certificate: Path, version: ssl.TLSVersion) -> str | None:
    """Return the TLS version negotiated with a client whose newest is ``version``, or the reason of the failure."""
    old = ssl.create_default_context(cafile=certificate)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore"):  # Python warns about old TLS versions
        old.minimum_version = min(old.minimum_version, version)
        old.maximum_version = version
    with socket.create_connection(("127.0.0.1", port)) as plain:
        try:
            with old.wrap_socket(plain, server_hostname="localhost") as client:
                return client.version()
        except ssl.SSLError as error:
            return error.reason


def certified(folder: Path) -> tuple[Path, Path]:
    """Write a key and a self-signed certificate for localhost, and return the paths of both."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    files = folder / "key.pem", folder / "certificate.pem"
    files[0].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files[1].write_bytes(made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return files
