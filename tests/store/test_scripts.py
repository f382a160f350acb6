from importlib.resources import files

import pytest

from vmpooler.store.redis.client import Connection
from vmpooler.store.redis.scripts import HEAD, USES, load

NAMES = sorted(
    path.name.removesuffix(".lua")
    for path in files("vmpooler.store").joinpath("lua").iterdir()
    if path.name.endswith(".lua") and not path.name.startswith("_")
)


@pytest.mark.parametrize("name", NAMES)
async def test_redis_accepts_the_script_and_names_it_as_we_do(store: Connection, name: str) -> None:
    assert await store.call("SCRIPT", "LOAD", load(name).source) == load(name).sha


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_in_front_what_it_asks_for_and_the_beginnings_of_keys(name: str) -> None:
    lua = files("vmpooler.store").joinpath("lua")
    own = lua.joinpath(f"{name}.lua").read_text()
    first = own.splitlines()[0]
    shared = first.removeprefix(USES).split(", ") if first.startswith(USES) else []
    parts = [lua.joinpath(f"_{part}.lua").read_text() for part in shared]
    assert load(name).source == "\n".join([HEAD, *parts, own])
