"""The flags of the table of routes."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.web.client import Answer
from tests.web.peer import Peer, request
from vmpooler.settings import Limits
from vmpooler.web.http.json import Json
from vmpooler.web.http.router import Mount, Parts, RequestsInFlight, Route, Router
from vmpooler.web.http.server import Request, Site, sent


async def name(request: Request, **parts: str) -> Json:
    return {"route": request.route, **parts}


async def never(request: Request) -> Json:
    await Deferred[None]()
    return {}


def rest(request: Request, parts: Parts) -> bytes:
    return sent(request, 200, "+".join(parts).encode(), {})


TABLE = (
    Route("GET", "/a", name),
    Route("GET", "/a/<b>", name, rate_limited=False),
    Route("GET", "/own", name, bare=True),
    Route("GET", "/slow", never),
    Route("GET", "/free", name, counted=False),
    Mount("/files", rest, below=True, rate_limited=False, counted=False),
    Route("GET", "/files/not", name),
)


def made() -> Router:
    """Return a router of the table, with at most one counted request at a time."""
    return Router(TABLE, RequestsInFlight(), 1)


def peer(router: Router) -> Peer:
    clock = Clock()
    return Peer(Site(router, clock, clock.seconds, Limits()))


def ask(router: Router, path: bytes, method: bytes = b"GET") -> Answer:
    client = peer(router)
    client.say(request(path, method=method))
    return client.answer


def test_a_path_leads_to_its_row_with_and_without_the_prefix() -> None:
    for path in (b"/a/x", b"/api/v1/a/x", b"//a//x/"):
        assert ask(made(), path).json == {"route": "GET /a/<b>", "b": "x"}
    assert ask(made(), b"/a/x", b"POST").status == 404
    assert ask(made(), b"/a/x/y").status == 404


def test_a_bare_row_has_no_prefix() -> None:
    assert ask(made(), b"/own").status == 200
    assert ask(made(), b"/api/v1/own").status == 404


def test_a_mount_answers_below_its_path_what_no_other_row_has() -> None:
    assert [ask(made(), path).text for path in (b"/files", b"/files/b/c")] == ["", "b+c"]
    assert ask(made(), b"/files/not").json == {"route": "GET /files/not"}


def test_only_counted_requests_are_limited() -> None:
    router = made()
    peer(router).say(request(b"/slow", method=b"GET"))
    assert ask(router, b"/a").status == 503
    assert [ask(router, path).status for path in (b"/free", b"/files/a")] == [200, 200]


def test_the_rate_is_limited_unless_the_row_says_otherwise() -> None:
    limited = {
        path: made().is_rate_limited(path) for path in (b"/a", b"/a/x", b"/files/x", b"/files/not", b"/no", b"*")
    }
    assert [path for path, is_limited in limited.items() if not is_limited] == [b"/a/x", b"/files/x"]


def test_a_path_of_any_length_is_found() -> None:
    long = b"x" * 300
    assert ask(made(), b"/a/" + long).json == {"route": "GET /a/<b>", "b": long.decode()}
