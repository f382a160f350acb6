"""The section ``auth``, in its current form and as in files of Ruby vmpooler."""

from pathlib import Path

import pytest

from vmpooler.config import Loaded, load
from vmpooler.domain.errors import ConfigError
from vmpooler.settings import Auth, Ldap, ServiceAccount

POOL = "pools: [{name: a, size: 1, provider: dummy}]\n"
PEOPLE = "ou=people,dc=example,dc=org"


def loaded(ldap: str, **environ: str) -> Loaded:
    text = f"{POOL}:auth:\n  provider: ldap\n  :ldap: {{host: l, base: '{PEOPLE}', user_object: uid, {ldap}}}"
    return load(text, environ=environ, base=Path("/etc/vmpooler"))


def read(ldap: str, **environ: str) -> Ldap:
    auth = loaded(ldap, **environ).settings.auth
    assert auth is not None
    assert auth.ldap is not None
    return auth.ldap


def mistakes(text: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(POOL + text, environ={}, base=Path("/"))
    return caught.value.mistakes


def test_a_server_a_base_and_an_attribute_are_enough() -> None:
    found = loaded("")
    assert found.warnings == ()
    assert found.settings.auth == Auth(provider="ldap", ldap=Ldap(host="l", base=(PEOPLE,), user_object=("uid",)))
    assert read("").encryption == "start_tls"
    assert read("").tls_verify


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("encryption: ", "start_tls"),
        ("encryption: ':start_tls'", "start_tls"),
        ("encryption: {':method': ':start_tls'}", "start_tls"),
        ("encryption: {':method': ':simple_tls', ':tls_options': {':ssl_version': TLSv1_2}}", "simple_tls"),
        ("encryption: {method: simple_tls, tls_options: {ssl_version: ':TLSv1_3'}}", "simple_tls"),
        ("encryption: {method: simple_tls, tls_options: }", "simple_tls"),
    ],
)
def test_every_shape_of_encryption_is_understood(text: str, meant: str) -> None:
    found = loaded(f"port: 1636, {text}")
    assert found.warnings == ()
    assert found.settings.auth is not None
    assert found.settings.auth.ldap is not None
    assert found.settings.auth.ldap.encryption == meant


def test_the_ca_file_of_the_original_is_ours() -> None:
    assert read("encryption: {method: simple_tls, tls_options: {ca_file: ca.pem}}").ca_file == "/etc/vmpooler/ca.pem"
    assert read("ca_file: ours.pem, encryption: {tls_options: {ca_file: ca.pem}}").ca_file == "/etc/vmpooler/ours.pem"


def test_what_weakens_the_protection_is_warned_of() -> None:
    assert loaded("encryption: none, tls_verify: false").warnings == (
        "auth.ldap.encryption: passwords go over the network in clear text",
    )
    assert loaded("tls_verify: false").warnings == (
        "auth.ldap.tls_verify: the server's certificate is not verified: passwords can be stolen",
    )
    old = "encryption: {method: start_tls, tls_options: {ssl_version: TLSv1, verify_hostname: false}}"
    assert loaded(old).warnings == (
        "auth.ldap.encryption.tls_options.ssl_version: TLS 1.2 or later is spoken, not 'TLSv1'",
        "auth.ldap.encryption.tls_options.verify_hostname: not served by this version, ignored",
    )


def test_a_port_that_is_usually_for_the_other_encryption_is_warned_of() -> None:
    assert loaded("port: 636").warnings == ("auth.ldap.port: 636 is usually for encryption: simple_tls",)
    assert loaded("encryption: simple_tls").warnings == ("auth.ldap.port: 389 is usually for encryption: start_tls",)
    assert loaded("port: 636, encryption: simple_tls").warnings == ()


def test_the_dummy_is_warned_of() -> None:
    assert load(f"{POOL}auth: {{provider: dummy}}", environ={}, base=Path("/")).warnings == (
        "auth: dummy lets in anybody whose password is not the name; it is for trying out only",
    )


def test_a_service_account_may_have_its_password_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("filed\n")
    account = "':service_account_hash': {':user_dn': 'cn=pooler,dc=example,dc=org'%s}"
    for given, environ, password in (
        (", ':password': written", {}, "written"),
        (f", password_file: {tmp_path}/secret", {}, "filed"),
        ("", {"VMPOOLER_LDAP_PASSWORD": "set"}, "set"),
    ):
        found = read(account % given, **environ)
        assert found.service_account_hash == ServiceAccount(user_dn="cn=pooler,dc=example,dc=org", password=password)
        assert password not in repr(found)


def test_every_mistake_is_reported_with_its_path() -> None:
    assert mistakes("auth: {provider: ldap}") == ("auth.ldap: must be given for the provider ldap",)
    assert mistakes("auth: {provider: pam}") == ("auth.provider: expected ldap or dummy, got 'pam'",)
    assert mistakes("auth: {provider: ldap, ldap: ldap.example.org}") == ("auth.ldap: expected a mapping, got text",)
    text = """
auth:
  provider: ldap
  ldap:
    host: "ldap host"
    base: ["", people]
    user_object: "uid)(cn"
    encryption: {method: ssl, tls_option: {}}
    service_account_hash: {user_dn: pooler, password: ""}
    timout: 5
"""
    assert mistakes(text) == (
        "auth.ldap.encryption.tls_option: unknown key; did you mean tls_options?",
        "auth.ldap.timout: unknown key; did you mean timeout?",
        "auth.ldap.host: expected text that matches [A-Za-z0-9._:-]+, got 'ldap host'",
        "auth.ldap.encryption: expected start_tls or simple_tls or none, got 'ssl'",
        "auth.ldap.base[0]: expected text that matches [^=]+=.+, got ''",
        "auth.ldap.base[1]: expected text that matches [^=]+=.+, got 'people'",
        "auth.ldap.user_object: expected text that matches [A-Za-z][A-Za-z0-9-]*|[0-9.]+, got 'uid)(cn'",
        "auth.ldap.service_account_hash.user_dn: expected text that matches [^=]+=.+, got 'pooler'",
        "auth.ldap.service_account_hash.password: expected text that matches .+",
    )
    assert mistakes("auth: {provider: ldap, ldap: {host: l, base: [], user_object: []}}") == (
        "auth.ldap.base: at least one must be given",
        "auth.ldap.user_object: at least one must be given",
    )
