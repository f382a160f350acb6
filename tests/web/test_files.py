"""The dashboard's files: their paths, their headers, and the limits that the content security policy sets."""

import gzip
from pathlib import Path

import pytest

from tests.web.conftest import Serve
from vmpooler.web.http.static_files import POLICY, TYPES, File, Files

PAGE = Path(__file__).parents[2] / "vmpooler/dashboard"


@pytest.mark.parametrize("path", ["/", "/dashboard", "/?range=7d"])
async def test_people_are_led_to_the_page(serve: Serve, path: str) -> None:
    served = await serve()
    for method in ("GET", "HEAD"):
        answer = await served.ask(method, path)
        assert (answer.status, answer.headers["location"]) == (302, "dashboard/")
    assert (await served.ask("POST", path)).status == 404


async def test_the_page_is_there_and_can_do_nothing_but_what_comes_from_here(serve: Serve) -> None:
    served = await serve()
    page = await served.ask("GET", "/dashboard/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.text == (PAGE / "index.html").read_text()
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "set-cookie" not in page.headers
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_every_file_is_served_with_its_type(serve: Serve) -> None:
    served = await serve()
    for path in PAGE.rglob("*.*"):
        answer = await served.ask("GET", f"/dashboard/{path.relative_to(PAGE)}")
        assert (answer.status, answer.headers["content-type"]) == (200, TYPES[path.suffix[1:]]), path
        assert answer.headers["content-length"] == str(path.stat().st_size)


async def test_a_file_that_a_client_has_is_not_sent_again(serve: Serve) -> None:
    served = await serve()
    for coding in ("gzip", "identity"):
        tag = (await served.ask("HEAD", "/dashboard/", headers={"Accept-Encoding": coding})).headers["etag"]
        same = {"Accept-Encoding": coding, "If-None-Match": tag}
        answer = await served.ask("HEAD", "/dashboard/", headers=same)
        assert (answer.status, answer.headers["etag"]) == (304, tag)
        assert answer.headers["content-security-policy"] == POLICY
        other = await served.ask("HEAD", "/dashboard/", headers={"If-None-Match": '"other"'})
        assert other.status == 200


async def test_a_file_comes_packed_to_those_who_can_read_that(serve: Serve) -> None:
    served = await serve()
    for said, coding in (("gzip, deflate, br", "gzip"), ("br;q=1, gzip;q=0", None), ("identity", None)):
        answer = await served.ask("HEAD", "/dashboard/", headers={"Accept-Encoding": said})
        assert answer.headers.get("content-encoding") == coding, said
        assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    ["/dashboard/nothing.js", "/dashboard/../service.py", "/dashboard/%2e%2e/service.py", "/dashboard/..%2fcli.py"],
)
async def test_what_is_no_file_of_the_page_is_404(serve: Serve, path: str) -> None:
    served = await serve()
    answer = await served.ask("GET", path)
    assert (answer.status, answer.json) == (404, {"ok": False})


def test_files_in_folders_are_found_and_only_those_of_known_kinds(tmp_path: Path) -> None:
    (tmp_path / "img").mkdir()
    (tmp_path / "img/a.svg").write_bytes(b"<svg/>" * 100)
    (tmp_path / "notes.txt").write_text("x")
    found = Files(tmp_path)._files
    assert list(found) == ["img/a.svg"]
    packed = found["img/a.svg"].packed
    assert packed
    assert gzip.decompress(packed) == b"<svg/>" * 100
    assert File.of("png", b"\0").packed is None
