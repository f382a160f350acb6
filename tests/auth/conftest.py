"""An LDAP server for the tests, and one to be ill-treated."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.auth.ldap_server import LdapServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a slapd: the tests that ask for one of the servers."""
    for item in items:
        if {"directory", "spare_directory"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.needs("slapd"))


@pytest.fixture(scope="session")
def directory() -> Iterator[LdapServer]:
    """The LDAP server of this run, shared by its tests: do not stop it."""
    server = LdapServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def spare_directory() -> Iterator[LdapServer]:
    """An LDAP server of the test's own, running, for bad weather."""
    server = LdapServer()
    server.start()
    yield server
    server.remove()
