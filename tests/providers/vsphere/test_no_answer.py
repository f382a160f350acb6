"""Answers that are neither a Response nor a Fault, such as a proxy's page: the provider concludes nothing from them."""

import gzip
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import attrs
import pytest
import pytest_twisted
from pyVmomi import vim, vmodl
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent

from tests.providers.vsphere.case import TEMPLATE, VsphereCase, clock
from tests.providers.vsphere.test_failures import error_of, heals
from tests.vcsim.proxy import ENVELOPE, XHTML, Page, VcenterProxy, response
from tests.vcsim.simulator import PASSWORD, USER, Simulator
from vmpooler.domain.guest import Holder
from vmpooler.providers.base import ProviderError
from vmpooler.providers.vsphere import Vsphere, operations
from vmpooler.providers.vsphere.errors import Away, Doubtful, NoResponse, failure
from vmpooler.providers.vsphere.session import Session, log_in
from vmpooler.settings import General

pytestmark = [pytest.mark.needs("vcsim"), pytest.mark.limit(90)]

NO_RESPONSE = "the answer is no vSphere response"
HTML = b"<!DOCTYPE html><html><head><meta charset=utf-8></head><body><br>secret-page</body></html>"
FAULT = (
    b"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail>"
    b'<NotAuthenticatedFault xmlns="urn:vim25" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    b'xsi:type="NotAuthenticated"><object type="Folder">group-d1</object><privilegeId>System.View</privilegeId>'
    b"</NotAuthenticatedFault></detail></soapenv:Fault>"
)
METHOD = "FindByInventoryPath"


@pytest.fixture
def proxy(simulator: Simulator) -> Iterator[VcenterProxy]:
    """A proxy in front of a running vCenter."""
    with VcenterProxy(simulator) as proxy:
        yield proxy


@pytest_twisted.async_yield_fixture
async def case(simulator: Simulator, proxy: VcenterProxy) -> AsyncIterator[VsphereCase]:
    """A provider that reaches its vCenter through the proxy."""
    case = VsphereCase(simulator, server=proxy.url, timeout=6)
    await case.start()
    yield case
    await case.stop()


@pytest.fixture
def session(proxy: VcenterProxy) -> Iterator[Session]:
    """A login through the proxy."""
    session = log_in(Vsphere(server=proxy.url, username=USER, password=PASSWORD, timeout=6))
    yield session
    session.end()


PAGES = {
    "a page": (Page(), "its root is html"),
    "a page of another root": (Page(b"<%s/>" % (b"x" * 500)), f"its root is {'x' * 48}"),
    "a page in Greek": (Page("<σελίδα/>".encode()), "its root is \\u03c3"),
    "a page that names a Response": (Page(b"<html><FindByInventoryPathResponse/></html>"), "its root is html"),
    "a page that is no XML": (Page(HTML), "its root is html"),
    "a text": (Page(b"secret-page"), "it is no XML"),
    "nothing": (Page(b""), "it is empty or ends too early"),
    "a part": (Page(response(METHOD)[:-30]), "it is empty or ends too early"),
    "an empty body": (Page(ENVELOPE % b""), "an envelope with an empty body"),
    "another Response": (Page(response("CheckForUpdates")), "its body has CheckForUpdatesResponse"),
    "two Responses": (Page(ENVELOPE % (b"<%sResponse/>" % METHOD.encode() * 2)), f"its body has {METHOD}Response"),
    "a gzipped page": (Page(gzip.compress(XHTML), headers={"Content-Encoding": "gzip"}), "its root is html"),
    "no gzip": (Page(XHTML, headers={"Content-Encoding": "gzip"}), "it cannot be decompressed"),
    "a page under 500": (Page(status=500), "its root is html"),
    "a Response under 500": (Page(response(METHOD), 500), "a Response under status 500"),
    "a redirection": (Page(b"", 302, {"Location": "http://127.0.0.1/login"}), "HTTP status 302 Found"),
    "a refusal": (Page(status=403), "HTTP status 403 Forbidden"),
    "an error": (Page(status=503), "HTTP status 503 Service Unavailable"),
}


@pytest.mark.parametrize("kind", PAGES)
def test_what_is_no_response_is_a_lost_connection_and_the_login_goes_on(
    session: Session, proxy: VcenterProxy, kind: str
) -> None:
    page, hint = PAGES[kind]
    proxy.show(**{METHOD: page})
    with pytest.raises(NoResponse) as caught:
        session.find("DC0/vm")
    assert f"{NO_RESPONSE} ({hint}" in str(caught.value)
    assert str(caught.value).endswith("is there a proxy in front of it?")
    assert len(str(caught.value)) < 150
    assert str(caught.value).isascii()
    assert "secret-page" not in str(caught.value)
    assert isinstance(failure(caught.value, "an order"), Doubtful)
    proxy.show()
    assert isinstance(session.find("DC0/vm"), vim.Folder)


def test_a_response_without_a_result_is_an_answer_where_the_method_may_have_none(
    session: Session, proxy: VcenterProxy
) -> None:
    may = {METHOD: Page(response(METHOD)), "Logout": Page(response("Logout"))}
    must = {name: Page(response(name)) for name in ("CreateListView", "RetrieveServiceContent")}
    proxy.show(**may, **must)
    assert session.find("DC0/vm") is None
    session.log_out()
    with pytest.raises(NoResponse, match="CreateListViewResponse without its result"):
        session.content.viewManager.CreateListView([])
    with pytest.raises(NoResponse, match="RetrieveServiceContentResponse without its result"):
        vim.ServiceInstance("ServiceInstance", session.stub).RetrieveContent()


@pytest.mark.parametrize("status", [200, 500])
def test_a_fault_is_raised_under_any_status(session: Session, proxy: VcenterProxy, status: int) -> None:
    proxy.show(**{METHOD: Page(ENVELOPE % FAULT, status)})
    with pytest.raises(vim.fault.NotAuthenticated):
        session.find("DC0/vm")


def test_the_cookie_of_a_page_does_not_end_the_session(session: Session, proxy: VcenterProxy) -> None:
    proxy.show(**{METHOD: Page(headers={"Set-Cookie": "portal=1; Path=/"})})
    with pytest.raises(NoResponse):
        session.find("DC0/vm")
    proxy.show()
    assert session.find("DC0/vm") is not None


def test_a_reading_goes_on_through_its_pages_and_none_of_them_may_be_missing(
    session: Session, proxy: VcenterProxy
) -> None:
    proxy.cut = True
    folder = session.find("DC0/vm")
    wanted = {vim.Folder: ["name"]}
    assert session.read([folder], wanted) == {folder: {"name": "vm"}}
    assert proxy.count("ContinueRetrievePropertiesEx") == 1
    for page in (Page(), Page(response("ContinueRetrievePropertiesEx"))):
        proxy.show(ContinueRetrievePropertiesEx=page)
        with pytest.raises(NoResponse):
            session.read([folder], wanted)


def test_an_object_that_was_asked_for_and_is_left_out_is_not_gone(session: Session, proxy: VcenterProxy) -> None:
    vm = vim.VirtualMachine("vm-1", session.stub)
    with pytest.raises(vmodl.fault.ManagedObjectNotFound):
        operations.read_vm(session, vm)
    proxy.show(RetrievePropertiesEx=Page(response("RetrievePropertiesEx")))
    with pytest.raises(NoResponse):
        operations.read_vm(session, vm)


async def is_away(case: VsphereCase) -> bool:
    try:
        await case.provider.inventory(case.pool)
    except ProviderError:
        return True
    return False


async def log_in_again(case: VsphereCase, proxy: VcenterProxy, other: Page | None = None, **pages: Page) -> None:
    """End the login of the provider, wait until its inventory fails, then answer its next logins with these pages."""
    proxy.show(RetrieveServiceContent=Page())
    case.vcenter.end_sessions()
    await case.until(lambda: is_away(case))
    proxy.show(other, **pages)


async def stays_unknown(case: VsphereCase, seconds: float) -> None:
    """Assert that for ``seconds`` the inventory raises ProviderError and is never returned as empty."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with pytest.raises(ProviderError):
            await case.provider.inventory(case.pool)
        await deferLater(clock, 0.05)


def lists(case: VsphereCase, *names: str) -> Callable[[], Awaitable[bool]]:
    """Return a condition: the inventory consists of these VMs."""

    async def does() -> bool:
        return sorted(await case.provider.inventory(case.pool)) == list(names)

    return does


@pytest.mark.parametrize("method", ["WaitForUpdatesEx", "Login", "RetrieveServiceContent", "CreateFilter", ""])
async def test_a_login_that_gets_pages_knows_nothing_until_they_are_gone(
    case: VsphereCase, proxy: VcenterProxy, logged: list[LogEvent], method: str
) -> None:
    for name in ("one", "two"):
        await case.provider.clone(case.pool, name)
    await log_in_again(case, proxy, **{method or "other": Page()})
    since = time.monotonic()
    await stays_unknown(case, 5)
    assert f"{NO_RESPONSE} (its root is html)" in case.provider.trouble()
    assert proxy.count(method or "RetrieveServiceContent", since) <= 5
    assert proxy.count("", since) <= 60
    for work in (case.provider.destroy(case.pool, "one"), case.provider.clone(case.pool, "three")):
        assert NO_RESPONSE in await error_of(work)
    proxy.show()
    await case.until(lists(case, "one", "two"))
    assert proxy.count("Destroy_Task") == proxy.count("PowerOffVM_Task") == 0
    lines = [formatEvent(event) or "" for event in logged]
    assert len([line for line in lines if NO_RESPONSE in line and "tries again" in line]) == 1
    assert not any("secret-page" in line or "an answer that was not expected" in line for line in lines)


async def test_a_login_whose_first_answer_is_empty_knows_nothing_until_folders_are_reported(
    case: VsphereCase, proxy: VcenterProxy
) -> None:
    await case.provider.clone(case.pool, "one")
    await log_in_again(case, proxy, WaitForUpdatesEx=Page(response("WaitForUpdatesEx")))
    since = time.monotonic()
    await stays_unknown(case, 8)
    assert proxy.count("WaitForUpdatesEx", since) <= 12
    assert "it reports no folder" in case.provider.trouble()
    proxy.show()
    await case.until(lists(case, "one"))


async def test_updates_of_which_a_part_came_are_not_whole_when_no_more_come(
    case: VsphereCase, proxy: VcenterProxy
) -> None:
    await case.provider.clone(case.pool, "one")
    proxy.truncate = True
    await log_in_again(case, proxy, WaitForUpdatesEx=Page(response("WaitForUpdatesEx"), after=1))
    await stays_unknown(case, 4)
    proxy.truncate = False
    proxy.show()
    await case.until(lists(case, "one"))


@pytest.mark.parametrize("page", [Page(), Page(response("WaitForUpdatesEx"))])
async def test_pages_instead_of_later_updates_are_no_busy_loop(
    case: VsphereCase, proxy: VcenterProxy, page: Page
) -> None:
    await case.provider.clone(case.pool, "one")
    since = time.monotonic()
    proxy.show(WaitForUpdatesEx=page)
    case.vcenter.make(TEMPLATE, case.pool.folder, "other")
    await deferLater(clock, 5)
    assert proxy.count("", since) <= 60
    assert proxy.count("WaitForUpdatesEx", since) <= 8
    proxy.show()
    await case.until(lists(case, "one", "other"))


async def test_a_page_instead_of_the_template_is_not_its_absence(case: VsphereCase, proxy: VcenterProxy) -> None:
    proxy.show(FindByInventoryPath=Page())
    began = time.monotonic()
    clone = case.provider.clone(case.pool, "one")
    with pytest.raises(Away, match=NO_RESPONSE):
        await clone
    assert time.monotonic() - began < 4  # no clone was ordered, so the provider does not look for the VM
    assert proxy.count("FindByInventoryPath") <= 3 + 2  # includes the earlier lookups of the folders
    assert proxy.count("CloneVM_Task") == 0
    proxy.show()
    await heals(case)


@pytest.mark.parametrize("page", [Page(), Page(response("ContinueRetrievePropertiesEx"))])
async def test_a_page_in_the_middle_of_a_search_is_not_the_end_of_a_vm(
    case: VsphereCase, proxy: VcenterProxy, page: Page
) -> None:
    await case.provider.clone(case.pool, "moved")
    vm = case.vcenter.find(f"{case.pool.folder}/moved")
    case.vcenter.ask(case.vcenter.folder("elsewhere").MoveIntoFolder_Task([vm]))
    await case.until(lists(case))
    proxy.cut = True
    proxy.show(ContinueRetrievePropertiesEx=page)
    assert NO_RESPONSE in await error_of(case.provider.find(case.pool, "moved"))
    assert NO_RESPONSE in await error_of(case.provider.destroy(case.pool, "moved"))
    assert case.vcenter.names("elsewhere") == ["moved"]
    proxy.show()
    assert await case.provider.find(case.pool, "moved") is not None
    await case.provider.destroy(case.pool, "moved")
    assert case.vcenter.names("elsewhere") == []


@pytest.mark.parametrize("forward", [True, False])
async def test_a_clone_that_got_a_page_may_have_been_made_and_is_not_sent_again(
    case: VsphereCase, proxy: VcenterProxy, logged: list[LogEvent], forward: bool
) -> None:
    proxy.show(CloneVM_Task=Page(forward=forward))
    clone = ensureDeferred(case.provider.clone(case.pool, "one"))
    if forward:
        await clone
    else:
        assert "the VM has not come" in await error_of(clone)
    assert proxy.count("CloneVM_Task") == 1
    assert case.vcenter.names(case.pool.folder) == (["one"] if forward else [])
    lines = [formatEvent(event) or "" for event in logged]
    assert len([line for line in lines if "may have been cloned or not" in line and NO_RESPONSE in line]) == 1
    assert not any("an answer that was not expected" in line for line in lines)
    proxy.show()
    await heals(case)


@pytest.mark.parametrize("method", ["PowerOffVM_Task", "Destroy_Task"])
@pytest.mark.parametrize("forward", [True, False])
async def test_a_destruction_that_got_a_page_is_not_taken_for_done(
    case: VsphereCase, proxy: VcenterProxy, method: str, forward: bool
) -> None:
    await case.provider.clone(case.pool, "one")
    proxy.show(**{method: Page(forward=forward)})
    assert NO_RESPONSE in await error_of(case.provider.destroy(case.pool, "one"))
    assert proxy.count(method) == 1
    proxy.show()
    await case.provider.destroy(case.pool, "one")
    assert case.vcenter.names(case.pool.folder) == []


@pytest.mark.parametrize("forward", [True, False])
async def test_changes_that_got_a_page_are_not_taken_for_done_and_are_made_once(
    case: VsphereCase, proxy: VcenterProxy, forward: bool
) -> None:
    await case.provider.clone(case.pool, "one")
    proxy.show(ReconfigVM_Task=Page(forward=forward), CreateSnapshot_Task=Page(forward=forward))
    for work in (
        case.provider.add_disk(case.pool, "one", 1, "disk-1"),
        case.provider.snapshot(case.pool, "one", "before"),
        case.provider.stamp(case.pool, "one", Holder("alice")),
    ):
        assert NO_RESPONSE in await error_of(work)
    assert proxy.count("ReconfigVM_Task") == 2
    assert proxy.count("CreateSnapshot_Task") == 1
    proxy.show()
    await case.provider.add_disk(case.pool, "one", 1, "disk-1")
    await case.provider.snapshot(case.pool, "one", "before")
    assert case.vcenter.disks(f"{case.pool.folder}/one") == [1]
    (tree,) = case.vcenter.find(f"{case.pool.folder}/one").snapshot.rootSnapshotList
    assert (tree.name, list(tree.childSnapshotList)) == ("before", [])
    await case.provider.revert(case.pool, "one", "before")


@pytest.mark.parametrize("forward", [True, False])
async def test_a_template_that_may_have_become_a_vm_is_a_template_again(
    simulator: Simulator, proxy: VcenterProxy, forward: bool
) -> None:
    case = VsphereCase(simulator, General(create_template_delta_disks=True), server=proxy.url, timeout=6)
    case.pool = case.other_pool = attrs.evolve(case.pool, create_linked_clone=True)
    case.provider = case.another()
    await case.start()
    case.vcenter.find(TEMPLATE).MarkAsTemplate()
    proxy.show(MarkAsVirtualMachine=Page(forward=forward, times=1))
    why = await error_of(case.provider.clone(case.pool, "one"))
    assert why.startswith(f"the layers of template {TEMPLATE}: {NO_RESPONSE}")
    assert "the VM has not come" not in why
    assert case.vcenter.find(TEMPLATE).config.template
    assert proxy.count("CloneVM_Task") == 0
    await case.provider.clone(case.pool, "one")
    assert case.vcenter.find(TEMPLATE).config.template
    await case.stop()


async def test_a_task_that_pages_keep_from_being_watched_was_ordered_once(
    case: VsphereCase, proxy: VcenterProxy
) -> None:
    proxy.show(ModifyListView=Page(times=3))
    await case.provider.clone(case.pool, "one")
    assert proxy.count("CloneVM_Task") == 1
    assert case.vcenter.names(case.pool.folder) == ["one"]
