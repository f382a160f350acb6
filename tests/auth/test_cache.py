"""The cache of successful checks, and its lifetime."""

from __future__ import annotations

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock

from tests.auth.asking import settings_for
from tests.auth.ldap_server import LdapServer
from vmpooler.auth import authenticator_of
from vmpooler.auth.cache import Cache
from vmpooler.auth.dummy import DummyAuthenticator
from vmpooler.domain.errors import AuthAway
from vmpooler.settings import Auth


class Counting:
    """Accepts the given users and passwords, and counts the checks."""

    def __init__(self, **passwords: str) -> None:
        self.passwords, self.asked = passwords, 0

    async def check(self, user: str, password: str) -> bool:
        self.asked += 1
        return self.passwords.get(user) == password


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache(inner: Counting, clock: Clock, size: int = 100) -> Cache:
    return Cache(inner, 60, clock.seconds, b"key", size)


async def test_a_good_answer_is_asked_for_once_in_its_time(clock: Clock) -> None:
    inner = Counting(alice="a")
    cached = cache(inner, clock)
    for _ in range(3):
        assert await cached.check("alice", "a")
    assert inner.asked == 1
    clock.advance(59)
    assert await cached.check("alice", "a")
    assert inner.asked == 1
    clock.advance(1)
    assert await cached.check("alice", "a")
    assert inner.asked == 2


async def test_a_password_that_is_no_longer_right_ends_with_its_time(clock: Clock) -> None:
    inner = Counting(alice="a")
    cached = cache(inner, clock)
    assert await cached.check("alice", "a")
    inner.passwords["alice"] = "b"
    assert await cached.check("alice", "b"), "a new password is right at once"
    clock.advance(60)
    assert not await cached.check("alice", "a")


async def test_a_wrong_answer_is_asked_for_each_time(clock: Clock) -> None:
    inner = Counting(alice="a")
    cached = cache(inner, clock)
    for _ in range(3):
        assert not await cached.check("alice", "b")
    assert inner.asked == 3
    inner.passwords["alice"] = "b"
    assert await cached.check("alice", "b")


async def test_only_the_very_name_and_password_are_remembered(clock: Clock) -> None:
    cached = cache(Counting(alice="a"), clock)
    assert await cached.check("alice", "a")
    for user, password in (("alice", ""), ("alic", "ea"), ("alicea", ""), ("Alice", "a"), ("\ud800", "\0")):
        assert not await cached.check(user, password)


async def test_the_oldest_is_forgotten_when_there_are_too_many(clock: Clock) -> None:
    inner = Counting(a="1", b="2", c="3")
    cached = cache(inner, clock, size=2)
    for user, password in inner.passwords.items():
        assert await cached.check(user, password)
    assert await cached.check("b", "2")
    assert await cached.check("c", "3")
    assert inner.asked == 3
    assert await cached.check("a", "1")
    assert inner.asked == 4


async def test_no_password_is_kept(clock: Clock) -> None:
    cached = cache(Counting(alice="hunter2"), clock)
    assert await cached.check("alice", "hunter2")
    assert "hunter2" not in repr(vars(cached)["_until"])
    assert "alice" not in repr(vars(cached)["_until"])


async def test_of_a_server_that_is_away_good_answers_are_remembered_and_no_others(spare_directory: LdapServer) -> None:
    auth = Auth(provider="ldap", ldap=settings_for(spare_directory))
    remembering, forgetful = (
        authenticator_of(Auth(provider="ldap", cache_seconds=seconds, ldap=auth.ldap), reactor) for seconds in (60, 0)
    )
    assert remembering is not None
    assert forgetful is not None
    for each in (remembering, forgetful):
        assert await each.check("alice", "wonderland")
        assert not await each.check("twin", "pollux")
    spare_directory.kill()
    assert await remembering.check("alice", "wonderland")
    for each, user, password in (
        (remembering, "alice", "wrong"),
        (remembering, "twin", "pollux"),
        (forgetful, "alice", "wonderland"),
    ):
        with pytest.raises(AuthAway):
            await each.check(user, password)


async def test_without_the_section_there_is_nobody_to_ask() -> None:
    assert authenticator_of(None, reactor) is None


async def test_the_dummy_takes_any_password_but_the_name() -> None:
    dummy = authenticator_of(Auth(provider="dummy"), reactor)
    assert isinstance(dummy, DummyAuthenticator)
    assert await dummy.check("alice", "anything")
    for user, password in (("alice", "alice"), ("alice", ""), ("", "x"), ("a\0", "x"), ("a" * 300, "x")):
        assert not await dummy.check(user, password)
