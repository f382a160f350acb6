"""Reads the section ``auth``, also in the forms of Ruby vmpooler."""

from collections.abc import Mapping

from vmpooler.config.document import plain
from vmpooler.config.reader import Reader
from vmpooler.config.report import NOT_SERVED, Report, key_shown, nearest, shown
from vmpooler.settings import Auth, Ldap

PATH = "auth.ldap.encryption"
TLS_VERSIONS = ("TLSv1_2", "TLSv1_3")
USUAL_PORTS = {"start_tls": 389, "simple_tls": 636}


def read_auth(reader: Reader, raw: object) -> Auth | None:
    """Return the section, or None if it is missing."""
    if raw is None:
        return None
    if isinstance(raw, dict):
        given = raw = _plain_keys(raw)
        if isinstance(ldap := given.get("ldap"), dict):
            given["ldap"] = _with_plain_encryption(reader, _plain_keys(ldap))
    auth = reader.section(Auth, raw, "auth")
    if auth.provider == "ldap" and auth.ldap is None:
        reader.report.mistake("auth.ldap", "must be given for the provider ldap")
    elif auth.provider == "ldap" and auth.ldap is not None:
        _check(auth.ldap, reader.report)
    elif auth.provider == "dummy":
        reader.report.warn("auth", "dummy lets in anybody whose password is not the name; it is for trying out only")
    return auth


def _plain_keys(raw: Mapping[object, object]) -> dict[str, object]:
    return {plain(str(key)): value for key, value in raw.items()}


def _with_plain_encryption(reader: Reader, ldap: dict[str, object]) -> dict[str, object]:
    """Return the section ``ldap``, with Ruby vmpooler's ``encryption`` replaced by the settings that it means.

    Ruby vmpooler takes ``:simple_tls`` or a mapping: its ``method``, and ``tls_options`` of Ruby's OpenSSL.
    """
    encryption = ldap.get("encryption")
    if isinstance(encryption, dict):
        given = _plain_keys(encryption)
        for key in given.keys() - {"method", "tls_options"}:
            reader.report.mistake(f"{PATH}.{key_shown(key)}", "unknown key" + nearest(key, ["method", "tls_options"]))
        encryption = given.get("method")
        options = reader.mapping(given.get("tls_options"), f"{PATH}.tls_options") or {}
        ldap = {"ca_file": options.pop("ca_file", None)} | ldap
        _check_options(options, reader.report)
    if isinstance(encryption, str):
        encryption = plain(encryption)
    return ldap | {"encryption": encryption}


def _check_options(options: Mapping[str, object], report: Report) -> None:
    for key, value in options.items():
        path = f"{PATH}.tls_options.{key_shown(key)}"
        if key != "ssl_version":
            report.warn(path, NOT_SERVED)
        elif not isinstance(value, str) or plain(value) not in TLS_VERSIONS:
            report.warn(path, f"TLS 1.2 or later is spoken, not {shown(value)}")


def _check(ldap: Ldap, report: Report) -> None:
    for name in ("base", "user_object"):
        if getattr(ldap, name) == ():
            report.mistake(f"auth.ldap.{name}", "at least one must be given")
    if ldap.encryption == "none":
        report.warn(PATH, "passwords go over the network in clear text")
    elif ldap.tls_verify is False:
        report.warn("auth.ldap.tls_verify", "the server's certificate is not verified: passwords can be stolen")
    for encryption, port in USUAL_PORTS.items():
        if ldap.port == port and ldap.encryption in USUAL_PORTS and ldap.encryption != encryption:
            report.warn("auth.ldap.port", f"{port} is usually for encryption: {encryption}")
