"""A real slapd for tests, on the loopback, with its own users and certificates."""

from __future__ import annotations

import base64
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from ldaptor.protocols.ldap.distinguishedname import escape

from tests.auth.certificates import Authority
from tests.ports import free_port
from vmpooler.embedded.program import guarded

SLAPD = "/usr/sbin/slapd"
PEOPLE = "ou=people,dc=example,dc=org"
ROBOTS = "ou=robots,dc=example,dc=org"
GUESTS = "ou=guests,dc=example,dc=org"
SERVICE = "cn=pooler,dc=example,dc=org"
SERVICE_PASSWORD = "of the service"
ODD_NAME = ' #o\'brien, "x"+y=\\;<*>(é) '

WRONG_HOST = "127.0.0.2"
"""slapd listens on this address too, but its certificate is only for 127.0.0.1 and localhost."""

CONFIG = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {ca}
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
loglevel none
database mdb
maxsize 10485760
suffix dc=example,dc=org
directory {home}/data
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{service}" read by * none
"""

USERS = (
    (PEOPLE, "alice", "wonderland", "Alice Liddell"),
    (PEOPLE, ODD_NAME, "odd", "odd"),
    (PEOPLE, "twin", "castor", "Castor"),
    (ROBOTS, "twin", "pollux", "Pollux"),
    (GUESTS, "twin", "helen", "Helen"),
    (ROBOTS, "r2d2", "beep", "Artoo"),
    (ROBOTS, "Alice Liddell", "looking glass", "mirror"),
)


class LdapServer:
    """A slapd that tests start, kill, freeze and restart."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="vmpooler-test-"))
        # A copy, because AppArmor may forbid the installed slapd to read files of the tests.
        self._program = shutil.copy(SLAPD, self._home)
        self.authority, self.stranger = Authority(self._home, "ca"), Authority(self._home, "stranger")
        certificate, key = self.authority.issue("server", "localhost", "127.0.0.1")
        self.port, self.tls_port = free_port(), free_port()
        self._config = self._home / "slapd.conf"
        text = CONFIG.format(home=self._home, ca=self.authority.file, certificate=certificate, key=key, service=SERVICE)
        self._config.write_text(text)
        (self._home / "data").mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        subprocess.run(
            [self._program, "-T", "add", "-q", "-f", self._config], input=_users().encode(), check=True, timeout=20
        )

    def start(self) -> None:
        """Start slapd, and return when it answers."""
        urls = " ".join(
            f"{scheme}://{host}:{port}"
            for scheme, port in (("ldap", self.port), ("ldaps", self.tls_port))
            for host in ("127.0.0.1", WRONG_HOST)
        )
        options = ["-f", str(self._config), "-h", urls, "-d", "0"]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(guarded([self._program, *options]), stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < until, (self._home / "log").read_text()
            time.sleep(0.01)

    def kill(self) -> None:
        """Kill slapd with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop slapd with SIGSTOP. The kernel still accepts connections to it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume slapd after ``freeze``."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill slapd and delete its directory."""
        self.kill()
        shutil.rmtree(self._home)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _answers(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.tls_port)) == 0


def _users() -> str:
    """Return the directory as LDIF. Values are in base64, so that any text is possible."""

    def line(key: str, value: str) -> str:
        return f"{key}:: {base64.b64encode(value.encode()).decode()}\n"

    text = "dn: dc=example,dc=org\nobjectClass: domain\ndc: example\n\n"
    for base in (PEOPLE, ROBOTS, GUESTS):
        text += f"dn: {base}\nobjectClass: organizationalUnit\n\n"
    text += f"dn: {SERVICE}\nobjectClass: person\nsn: pooler\nuserPassword: {SERVICE_PASSWORD}\n\n"
    for base, uid, password, cn in USERS:
        text += line("dn", f"uid={escape(uid)},{base}") + "objectClass: inetOrgPerson\nsn: x\n"
        text += line("uid", uid) + line("cn", cn) + f"userPassword: {password}\n\n"
    return text
