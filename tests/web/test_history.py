"""GET /dashboard/history: the data of the charts."""

import gzip
import json
from itertools import pairwise
from time import perf_counter
from urllib.request import Request, urlopen

import pytest
from twisted.internet import reactor
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from tests.metrics.render import Render
from tests.web.conftest import POOLS, Serve
from vmpooler.domain import times
from vmpooler.domain.history import MINUTES, QUARTERS, Grain, packed
from vmpooler.settings import Graphs, Pool, Settings
from vmpooler.store import keys
from vmpooler.store.commands.samples import Samples
from vmpooler.store.redis.client import Connection

DEBIAN = POOLS[0].name


async def sample(store: Connection, grain: Grain, ago: int, *row: int) -> None:
    """Write a sample for the step that ended ``ago`` whole steps before the last complete one."""
    number = int(reactor.seconds() // grain.seconds) - 1 - ago
    await Samples(store).write(grain, number, {DEBIAN: packed(row)})


async def test_an_hour_is_returned_by_the_minute(serve: Serve) -> None:
    served = await serve()
    await sample(served.store, MINUTES, 10, 4, 3, 2, 1)
    found = (await served.ask("GET", "/dashboard/history")).json
    assert (found["step"], found["count"], found["from"] % 60) == (60, 60, 0)
    assert reactor.seconds() - 3725 < found["from"] < reactor.seconds() - 3590
    assert list(found["pools"]) == [pool.name for pool in POOLS]
    for what, number in (("ready", 4), ("running", 3), ("pending", 2), ("checkouts", 1)):
        column = found["pools"][DEBIAN][what]
        assert len(column) == 60
        assert column.count(None) == 59
        at = found["from"] + 60 * column.index(number)
        assert 9 * 60 < reactor.seconds() - at <= 12 * 60
    assert "week" not in found


@pytest.mark.parametrize(
    ("range", "grain", "step", "count", "fine"), [("24h", MINUTES, 900, 96, 60), ("7d", QUARTERS, 7200, 84, 900)]
)
async def test_longer_ranges_have_longer_steps_and_one_pool_finer_ones(
    serve: Serve, range: str, grain: Grain, step: int, count: int, fine: int
) -> None:
    served = await serve()
    ago = 20
    await sample(served.store, grain, ago, 4, 3, 2, 1)
    at = (int(reactor.seconds() // grain.seconds) - 1 - ago) * grain.seconds
    whole = (await served.ask("GET", f"/dashboard/history?range={range}")).json
    one = (await served.ask("GET", f"/dashboard/history?range={range}&pool={DEBIAN}")).json
    assert (whole["step"], whole["count"]) == (step, count)
    assert (one["step"], one["count"], list(one["pools"])) == (fine, count * step // fine, [DEBIAN])
    for found in (whole, one):
        ready = found["pools"][DEBIAN]["ready"]
        assert len(ready) == found["count"]
        first = found["from"] + ready.index(4) * found["step"]
        assert first <= at < first + found["step"]


async def test_a_week_comes_with_its_days(serve: Serve) -> None:
    served = await serve()
    today = times.day(reactor.seconds())
    clones = {"debian-12-x86_64:a": "10.0", "debian-11:b": "21.0", "spare:c": "2"}
    for field, seconds in clones.items():
        await served.store.call("HSET", keys.clone_times(today), field, seconds)
    await served.store.call("HSET", keys.boot_times(today), "debian-12-x86_64:a", "33.3")
    week = (await served.ask("GET", "/dashboard/history?range=7d")).json["week"]
    assert len(week) == 7
    averages = {"clone_average": 11.0, "boot_average": 33.3}
    assert week[-1] == {"date": today, "cloned": 3, **averages, "platforms": {"debian": 2, "spare": 1}}
    assert week[0] == {**week[0], "cloned": 0, "clone_average": None, "boot_average": None, "platforms": {}}


async def test_what_there_is_not_is_refused(serve: Serve) -> None:
    served = await serve()
    assert (await served.ask("GET", "/dashboard/history?pool=nothing")).status == 404
    wrong = await served.ask("GET", "/dashboard/history?range=1y")
    assert (wrong.status, wrong.json["message"]) == (400, "'range' must be one of 1h, 24h, 7d.")


@pytest.mark.alone
@pytest.mark.limit(60)
async def test_the_day_of_two_hundred_pools_keeps_no_others_waiting(serve: Serve) -> None:
    pools = tuple(Pool(name=f"debian-{number}", size=5) for number in range(200))
    served = await serve(Settings(pools=pools))
    first = int(reactor.seconds() // 60) - MINUTES.chunk
    row = packed([5, 4, 3, 2]) * MINUTES.chunk
    for chunk in range(first // MINUTES.chunk, first // MINUTES.chunk + 2):
        for pool in pools:
            await served.store.call("SET", keys.minutes(chunk, pool.name), row)
    moments: list[float] = []
    ticking = LoopingCall(lambda: moments.append(perf_counter()))
    ticking.start(0.001)
    began = perf_counter()
    url = f"http://127.0.0.1:{served.port}/dashboard/history?range=24h"
    request = Request(url, headers={"Accept-Encoding": "gzip"})
    answer = await deferToThread(lambda: urlopen(request).read())  # noqa: S310 - the URL is that of the service under test
    took = perf_counter() - began
    ticking.stop()
    pause = max(after - before for before, after in pairwise(moments))
    reply = json.loads(gzip.decompress(answer))
    print(f"\n200 pools, a day: {took:.2f} s, longest pause {1000 * pause:.0f} ms, {len(answer)} bytes packed", end="")
    assert len(reply["pools"]) == 200
    assert reply["pools"]["debian-7"]["ready"][10] == 5
    assert pause < 0.6


async def test_what_was_not_sampled_is_filled_from_graphite(serve: Serve, render: Render) -> None:
    now = int(reactor.seconds())
    numbers = {"ready": 7, "running": 2}
    render.answering = lambda request: json.dumps(
        [{"target": f"lab.{what}.{DEBIAN}", "datapoints": [[number, now - 1800]]} for what, number in numbers.items()]
    ).encode()
    graphs = Graphs(server=f"127.0.0.1:{render.port}", prefix="lab")
    served = await serve(Settings(pools=POOLS, graphs=graphs))
    await sample(served.store, MINUTES, 10, 4, 3, 2, 1)
    found = (await served.ask("GET", "/dashboard/history")).json
    columns = found["pools"][DEBIAN]
    place = (now - 1800 - found["from"]) // 60
    for what, number in numbers.items():
        assert (columns[what][place], columns[what].count(None)) == (number, 58)
    assert columns["ready"].count(4) == 1
    assert columns["pending"].count(None) == columns["checkouts"].count(None) == 59
    assert set(found["pools"][POOLS[1].name]["ready"]) == {None}
    sizes = (await served.ask("GET", "/dashboard/stats/vmpooler/pool?history=1")).json
    assert [sizes[pool.name]["history"] for pool in POOLS] == [[7] * 8, [0], [0]]
    running = (await served.ask("GET", "/dashboard/stats/vmpooler/running?history=1")).json
    assert running["debian"] == {"running": 0, "history": [2]}
    assert "history" not in running["ubuntu"]
    assert len(render.asked) == 1


async def test_where_every_step_was_sampled_graphite_is_not_asked(serve: Serve, render: Render) -> None:
    pool = Pool(name=DEBIAN, size=1)
    served = await serve(Settings(pools=(pool,), graphs=Graphs(server=f"127.0.0.1:{render.port}")))
    for ago in range(-1, 62):
        await sample(served.store, MINUTES, ago, 4, 3, 2, 1)
    assert (await served.ask("GET", "/dashboard/history")).json["pools"][DEBIAN]["ready"] == [4] * 60
    assert render.asked == []
