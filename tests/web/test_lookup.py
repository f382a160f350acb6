"""Lookup of host addresses."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from vmpooler.web.host_lookup import ASKED_MOST, FRESH, KNOWN_MOST, LOOKUP_TIMEOUT, Lookup


class Resolver:
    """Records the hosts that are asked for; the test fires each answer."""

    def __init__(self) -> None:
        self.asked: dict[str, Deferred[str]] = {}

    def __call__(self, host: str) -> Deferred[str]:
        assert host not in self.asked
        self.asked[host] = Deferred()
        return self.asked[host]


def address_of(lookup: Lookup, host: str) -> Deferred[str]:
    return Deferred.fromCoroutine(lookup.address(host))


def test_an_address_is_asked_for_once_and_remembered_for_a_while() -> None:
    clock, resolver = Clock(), Resolver()
    lookup = Lookup(resolver, clock)
    first, second = address_of(lookup, "vm1"), address_of(lookup, "vm1")
    resolver.asked.pop("vm1").callback("192.0.2.1")
    assert (first.result, second.result) == ("192.0.2.1", "192.0.2.1")
    clock.advance(FRESH - 1)
    assert address_of(lookup, "vm1").result == "192.0.2.1"
    assert resolver.asked == {}
    clock.advance(2)
    address_of(lookup, "vm1")
    assert list(resolver.asked) == ["vm1"]


def test_a_client_waits_for_a_second_and_the_answer_is_there_for_the_next() -> None:
    clock, resolver = Clock(), Resolver()
    lookup = Lookup(resolver, clock)
    waiting = address_of(lookup, "vm1")
    clock.advance(LOOKUP_TIMEOUT)
    assert waiting.result == ""
    resolver.asked["vm1"].callback("192.0.2.1")
    assert address_of(lookup, "vm1").result == "192.0.2.1"


def test_a_host_that_is_not_found_has_no_address() -> None:
    clock, resolver = Clock(), Resolver()
    waiting = address_of(Lookup(resolver, clock), "vm1")
    resolver.asked["vm1"].errback(OSError("no such host"))
    assert waiting.result == ""


def test_a_client_that_hangs_up_harms_nobody() -> None:
    clock, resolver = Clock(), Resolver()
    lookup = Lookup(resolver, clock)
    first, second = address_of(lookup, "vm1"), address_of(lookup, "vm1")
    first.addErrback(lambda _: None)
    first.cancel()
    resolver.asked["vm1"].callback("192.0.2.1")
    assert second.result == "192.0.2.1"


def test_a_resolver_that_hangs_is_not_asked_for_ever_more() -> None:
    clock, resolver = Clock(), Resolver()
    lookup = Lookup(resolver, clock)
    for number in range(ASKED_MOST + 3):
        address_of(lookup, f"vm{number}")
    clock.advance(LOOKUP_TIMEOUT)
    assert len(resolver.asked) == ASKED_MOST
    assert address_of(lookup, "one-more").result == ""


def test_what_is_no_name_of_a_host_is_not_asked_for() -> None:
    resolver = Resolver()
    lookup = Lookup(resolver, Clock())
    assert [address_of(lookup, host).result for host in ("", "a b", "ä", "a" * 64)] == [""] * 4
    assert resolver.asked == {}


def test_only_so_many_are_remembered() -> None:
    clock, resolver = Clock(), Resolver()
    lookup = Lookup(resolver, clock)
    for number in range(KNOWN_MOST + 1):
        waiting = address_of(lookup, f"vm{number}")
        resolver.asked.pop(f"vm{number}").callback("192.0.2.1")
        assert waiting.result == "192.0.2.1"
    address_of(lookup, "vm0")
    address_of(lookup, f"vm{KNOWN_MOST}")
    assert list(resolver.asked) == ["vm0"]
