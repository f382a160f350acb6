import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from vmpooler.domain.model import Queue
from vmpooler.store import keys
from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import HEAD, Script, fenced, load, script

LUA = files("vmpooler.store").joinpath("lua")

FILES = sorted(path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name.endswith(".lua"))

NAMES = [name for name in FILES if not name.startswith("_")]

KEYS = {*(name.lower() for name in vars(keys)), *Queue, "token_pace", "address_pace"}
"""The names that a key may have: those in keys.py, the queues, and two keys of one kind."""

RESERVED = {
    *("and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not"),
    *("or", "repeat", "return", "then", "true", "until", "while"),
    *(
        "cjson",
        "ipairs",
        "math",
        "pairs",
        "pcall",
        "redis",
        "string",
        "table",
        "tonumber",
        "tostring",
        "type",
        "unpack",
    ),
}
"""The words of Lua, and the variables of Redis that scripts use."""


def text_of(name: str) -> str:
    return LUA.joinpath(f"{name}.lua").read_text()


def names_of(script: Script) -> list[str]:
    """Return all names of a script, in order."""
    return [*filter(None, (*script.keys.fixed, script.keys.rest, *script.args.fixed, script.args.rest))]


@pytest.mark.parametrize("of", [load, lambda name: fenced(load(name))], ids=["plain", "fenced"])
@pytest.mark.parametrize("name", NAMES)
async def test_redis_accepts_the_script_and_names_it_as_we_do(
    store: Connection, name: str, of: Callable[[str], Script]
) -> None:
    assert await store.call("SCRIPT", "LOAD", of(name).source) == of(name).sha


@pytest.mark.parametrize("name", FILES)
def test_a_script_uses_no_key_or_argument_without_its_name(name: str) -> None:
    assert not re.search(r"\b(KEYS|ARGV)\b", text_of(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_script_uses_each_of_its_names(name: str) -> None:
    own = script(name, text_of(name).replace("-- uses:", "--"))
    code = re.sub(r"--.*", "", own.text)
    assert [each for each in names_of(own) if not re.search(rf"\b{each}\b", code)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_stands_for_one_thing(name: str) -> None:
    made = fenced(load(name))
    names = names_of(made)
    variables = [HEAD, *made.keys.variables("KEYS"), *made.args.variables("ARGV")]
    code = made.source.removeprefix("\n".join(variables))
    others = ", ".join(re.findall(r"^local (?:function )?([\w, ]+)", code, re.MULTILINE)).split(", ")
    assert len({*names}) == len(names)
    assert {*names}.isdisjoint({*RESERVED, *map(str.strip, others)})


@pytest.mark.parametrize("name", NAMES)
def test_a_key_has_the_name_that_it_has_in_the_list_of_keys(name: str) -> None:
    assert {*load(name).keys.fixed} <= KEYS


def test_a_script_has_in_front_its_variables_and_what_it_asks_for() -> None:
    text = "-- uses: prelude, held\n-- keys: token\n-- keys: ready others...\n-- args: why\nreturn why"
    made = script("any", text)
    variables = [
        "local events, token, ready = unpack(KEYS, 1, 3)",
        "local others = {unpack(KEYS, 4, math.min(#KEYS, 1000))} for i = 1001, #KEYS do others[i - 3] = KEYS[i] end",
        "local now, kept, by, pool, vm, why = unpack(ARGV, 1, 6)",
    ]
    assert made.source == "\n".join([HEAD, *variables, text_of("_prelude"), text_of("_held"), text])


def test_the_fence_comes_first_with_its_key_and_argument() -> None:
    text = "-- keys: ready\n-- args: names...\nreturn names"
    made = fenced(script("any", text))
    variables = [
        "local fence, ready = unpack(KEYS, 1, 2)",
        "local term = unpack(ARGV, 1, 1)",
        "local names = {unpack(ARGV, 2, math.min(#ARGV, 1000))} for i = 1001, #ARGV do names[i - 1] = ARGV[i] end",
    ]
    assert made.source == "\n".join([HEAD, *variables, text_of("_fence"), text])


ANY = script("any", "-- keys: ready others...\n-- args: now why...")

VALUES: dict[str, Any] = {"ready": "r", "others": ["a", "b"], "now": 1, "why": ()}


async def test_a_script_gets_its_values_under_their_names(store: Connection) -> None:
    text = f"{ANY.text}\nreturn {{ready, others, now, why}}"
    assert await store.run(script("any", text), why=["x", "y"], now=1.5, others=[], ready="r") == [
        "r",
        [],
        "1.5",
        ["x", "y"],
    ]


async def test_a_list_may_be_longer_than_what_lua_unpacks(store: Connection) -> None:
    many = [str(number) for number in range(10_000)]
    copy = script("any", "-- keys: first others...\n-- args: second names...\nreturn {others, names}")
    assert await store.run(copy, first="f", others=many, second="s", names=many) == [many, many]


def test_values_come_in_the_order_of_the_names_and_can_be_named_again() -> None:
    assert ANY.command(VALUES) == ("EVALSHA", ANY.sha, 3, "r", "a", "b", 1)
    assert ANY.values(ANY.command(VALUES)) == VALUES | {"others": ("a", "b")}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({name: value for name, value in VALUES.items() if name != "now"}, "any lacks now"),
        (VALUES | {"pool": "p"}, "any has no pool"),
        ({"ready": "r", "others": [], "now": 1, "wy": ()}, "any lacks why; has no wy"),
        (VALUES | {"others": "text"}, "any: the last key or argument is a list"),
    ],
)
async def test_a_call_with_other_names_is_refused_at_once(
    store: Connection, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        await store.run(ANY, **values)
