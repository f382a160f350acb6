"""A checkout that finds a pool empty records that pool, so that its clones are ordered first."""

from tests.web.conftest import Serve
from vmpooler.store import keys


async def test_a_pool_that_a_client_found_empty_is_noted_and_one_with_vms_is_not(serve: Serve) -> None:
    served = await serve()
    await served.have("debian-12-x86_64", "d1")
    answer = await served.ask("POST", "/vm/ubuntu-22.04+debian-12-x86_64")
    assert answer.status == 503
    assert await served.store.call("ZRANGE", keys.WANTED, 0, -1) == ["ubuntu-22.04"]
