"""The section ``redis`` with Sentinel: the sentinels return the address of Redis."""

from pathlib import Path

import pytest

from vmpooler.config import load
from vmpooler.domain.errors import ConfigError
from vmpooler.settings import Redis, address_of

POOL = "pools: [{name: a, size: 1, provider: dummy}]\n"


def read(redis: str, **environ: str) -> Redis:
    return load(f"{POOL}:redis: {redis}", environ=environ, base=Path("/")).settings.redis


def mistakes(redis: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(redis)
    return caught.value.mistakes


def test_sentinels_are_a_list_or_one_with_ports_or_without() -> None:
    found = read("{':sentinels': [a.example.com, '10.0.0.1:5000', '[::1]:5000'], sentinel_master: m}")
    assert found.sentinels == ("a.example.com", "10.0.0.1:5000", "[::1]:5000")
    assert found.sentinel_master == "m"
    assert read("{sentinels: a}") == Redis(sentinels=("a",), sentinel_master="mymaster")
    places = [address_of(place, 26379) for place in (*found.sentinels, "[::1]")]
    assert places == [("a.example.com", 26379), ("10.0.0.1", 5000), ("::1", 5000), ("::1", 26379)]


def test_the_password_of_the_sentinels_is_their_own() -> None:
    found = read("{sentinels: a, password: p}", VMPOOLER_REDIS_SENTINEL_PASSWORD="s")
    assert (found.password, found.sentinel_password) == ("p", "s")


@pytest.mark.parametrize("other", ["server: localhost", "port: 6379", "socket: /s", "':server': embedded"])
def test_another_place_beside_sentinels_is_refused(other: str) -> None:
    key = other.split(":")[0].strip("'") or "server"
    (mistake,) = mistakes(f"{{sentinels: a, {other}}}")
    assert mistake == f"redis.{key}: sentinels are also given, and report where Redis is; keep one of them"


def test_an_address_that_no_sentinel_can_have_is_a_mistake() -> None:
    first, second, third = mistakes("{sentinels: ['http://a', 'a:99999', '']}")
    assert first.startswith("redis.sentinels[0]: expected text that matches")
    assert second.startswith("redis.sentinels[2]: expected text that matches")
    assert third == "redis.sentinels[1]: expected a port from 1 to 65535, got 'a:99999'"


def test_a_master_without_sentinels_is_a_mistake() -> None:
    assert mistakes("{sentinel_master: m}") == ("redis.sentinel_master: means nothing without sentinels",)
