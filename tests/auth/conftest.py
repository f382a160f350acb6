"""An LDAP server shared by the tests, and one that a test may stop or freeze."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.auth.ldap_server import LdapServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use one of the servers: they need slapd."""
    for item in items:
        if {"directory", "spare_directory"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.needs("slapd"))


@pytest.fixture(scope="session")
def directory() -> Iterator[LdapServer]:
    """The LDAP server of this run. Its tests share it, so they must not stop it."""
    server = LdapServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def spare_directory() -> Iterator[LdapServer]:
    """A running LDAP server for one test, which may stop or freeze it."""
    server = LdapServer()
    server.start()
    yield server
    server.remove()
