from importlib.resources import files

import pytest

from vmpooler.store.connection import Connection
from vmpooler.store.scripts import USES_PRELUDE, load

NAMES = sorted(
    path.name.removesuffix(".lua")
    for path in files("vmpooler.store").joinpath("lua").iterdir()
    if path.name.endswith(".lua") and not path.name.startswith("_")
)


@pytest.mark.parametrize("name", NAMES)
async def test_redis_accepts_the_script_and_names_it_as_we_do(store: Connection, name: str) -> None:
    assert await store.call("SCRIPT", "LOAD", load(name).source) == load(name).sha


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_the_prelude_in_front_when_it_asks_for_it(name: str) -> None:
    own, prelude = (files("vmpooler.store").joinpath("lua", f"{each}.lua").read_text() for each in (name, "_prelude"))
    asks = own.splitlines()[0] == USES_PRELUDE
    assert load(name).source == (f"{prelude}\n{own}" if asks else own)
