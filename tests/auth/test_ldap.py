"""Checks of users and passwords against a real slapd over StartTLS."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ldaptor.protocols.ldap.distinguishedname import escape, unescape

from tests.auth.asking import ACCOUNT, check
from tests.auth.ldap_server import ODD_NAME, PEOPLE, ROBOTS, LdapServer


async def test_the_right_password_is_right_and_another_is_wrong(directory: LdapServer) -> None:
    assert await check(directory, "alice", "wonderland")
    assert not await check(directory, "alice", "Wonderland")
    assert not await check(directory, "nobody", "wonderland")


@pytest.mark.parametrize("account", [None, ACCOUNT])
@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("alice", ""),
        ("", "wonderland"),
        ("", ""),
        ("alice\0", "wonderland"),
        ("alice", "wonderland\0"),
        ("al\nice", "wonderland"),
        ("\ud800", "wonderland"),
        ("alice", "\ud800"),
        ("a" * 257, "wonderland"),
        ("alice", "w" * 1025),
    ],
)
async def test_what_nobody_can_have_is_refused_without_asking(
    directory: LdapServer, account: object, user: str, password: str
) -> None:
    nobody = 1
    assert not await check(directory, user, password, service_account_hash=account, port=nobody)


@pytest.mark.parametrize("account", [None, ACCOUNT])
@pytest.mark.parametrize(
    "user",
    [
        "*",
        "al*",
        "alice*",
        "alice)(uid=*",
        "*)(objectClass=*",
        "alice,ou=people",
        f"alice,{PEOPLE}",
        "alice,",
        "alice+cn=Alice Liddell",
        r"alice\2a",
        r"\61lice",
        r"alice\,ou=people",
        "uid=alice",
        "#616c696365",
        " ",
        "\\",
        "(",
        "&",
    ],
)
async def test_a_name_is_a_name_and_never_a_pattern_or_a_path(
    directory: LdapServer, account: object, user: str
) -> None:
    assert not await check(directory, user, "wonderland", service_account_hash=account)


@pytest.mark.parametrize("account", [None, ACCOUNT])
async def test_a_name_may_have_any_character_that_needs_escaping(directory: LdapServer, account: object) -> None:
    assert await check(directory, ODD_NAME, "odd", service_account_hash=account)
    assert not await check(directory, ODD_NAME, "even", service_account_hash=account)


@settings(max_examples=200)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs", "Cc"]), min_size=1))
def test_an_escaped_name_is_one_value_of_one_attribute(name: str) -> None:
    escaped = escape(name)
    bare = escaped.replace("\\\\", "").replace("\\,", "").replace("\\+", "").replace('\\"', "")
    assert not set(bare) & set(',+"')
    assert unescape(escaped) == name


async def test_several_bases_are_tried_one_after_the_other(directory: LdapServer) -> None:
    both = (PEOPLE, ROBOTS)
    assert not await check(directory, "r2d2", "beep")
    assert await check(directory, "r2d2", "beep", base=both)
    assert await check(directory, "alice", "wonderland", base=both)
    assert await check(directory, "twin", "castor", base=both)
    assert await check(directory, "twin", "pollux", base=both)
    assert not await check(directory, "twin", "wonderland", base=both)


async def test_a_base_that_is_not_there_has_no_users(directory: LdapServer) -> None:
    for account in (None, ACCOUNT):
        bases = ("ou=gone,dc=example,dc=org", PEOPLE)
        assert await check(directory, "alice", "wonderland", base=bases, service_account_hash=account)
        assert not await check(directory, "alice", "wonderland", base=bases[:1], service_account_hash=account)


async def test_a_service_account_finds_the_user_by_any_of_the_attributes(directory: LdapServer) -> None:
    everything = {"base": ("dc=example,dc=org",), "service_account_hash": ACCOUNT}
    assert await check(directory, "r2d2", "beep", **everything)
    assert not await check(directory, "r2d2", "wonderland", **everything)
    assert not await check(directory, "nobody", "beep", **everything)
    assert not await check(directory, "Artoo", "beep", **everything)
    assert await check(directory, "Artoo", "beep", user_object=("uid", "cn"), **everything)
    assert not await check(directory, "pooler", ACCOUNT.password, **everything)


async def test_a_name_that_is_found_several_times_is_nobodys(directory: LdapServer) -> None:
    for bases in (("dc=example,dc=org",), (PEOPLE, ROBOTS)):
        for password in ("castor", "pollux"):
            assert not await check(directory, "twin", password, base=bases, service_account_hash=ACCOUNT)
    assert await check(directory, "twin", "pollux", base=(ROBOTS,), service_account_hash=ACCOUNT)
    either = ("uid", "cn")
    for password in ("wonderland", "looking glass"):
        bases = ("dc=example,dc=org",)
        assert not await check(
            directory, "Alice Liddell", password, base=bases, user_object=either, service_account_hash=ACCOUNT
        )


async def test_one_entry_below_two_bases_is_one_user(directory: LdapServer) -> None:
    bases = (PEOPLE, "dc=example,dc=org")
    assert await check(directory, "alice", "wonderland", base=bases, service_account_hash=ACCOUNT)
