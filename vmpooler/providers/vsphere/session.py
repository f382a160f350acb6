"""One login at a vCenter: a SOAP connection with a timeout on every call, and how to read through it."""

from __future__ import annotations

import ssl
import weakref
from collections.abc import Iterable, Mapping, Sequence
from http.client import HTTPConnection
from socket import SHUT_RDWR
from typing import Any

import attrs
from pyVmomi import SoapAdapter, vim, vmodl

from vmpooler.settings import Vsphere

VERSION = "vim.version.version11"
"""The API of vSphere 6.5, which every newer vCenter speaks too."""

IDLE = 10
"""Seconds after which an idle connection is not used again: the other side may be closing it."""

Spec = vmodl.query.PropertyCollector
CHILDREN = Spec.TraversalSpec(name="child", path="childEntity", skip=False, type=vim.Folder)
"""From a folder to what is in it."""

Ref = Any
"""A managed object. It is bound to the connection that it came by: after a new login it can only be refused."""


class _Deserializer(SoapAdapter.SoapResponseDeserializer):
    """Leaves no reference cycle.

    Note [Answers are freed at once]: pyVmomi's parser and deserializer hold each other, so every answer would live
    until a garbage collection, which for large answers stalls the whole process, the reactor with it.
    """

    def Deserialize(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().Deserialize(*args, **kwargs)
        finally:
            self.__dict__.pop("parser", None)
            self.deser.__dict__.clear()


SoapAdapter.SoapResponseDeserializer = _Deserializer  # type: ignore[misc]  # pyvmomi's hook


class Stub(SoapAdapter.SoapStubAdapter):
    """A connection that sends every call once, and can be ended while calls are under way."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._in_use: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._ended = False

    def GetConnection(self) -> HTTPConnection:
        """A connection for one call, connected."""
        connection: HTTPConnection = super().GetConnection()
        with self.lock:
            if not self._ended:
                self._in_use.add(connection)
                return connection
        connection.close()
        raise ConnectionAbortedError("the connection was ended")

    def ReturnConnection(self, connection: HTTPConnection) -> None:
        """Its call is over, and it can be used again."""
        with self.lock:
            self._in_use.discard(connection)
        super().ReturnConnection(connection)
        if self._ended:
            self.DropConnections()  # :meth:`end` may have dropped the others before

    def end(self) -> None:
        """Let no call begin, and have those under way fail."""
        with self.lock:
            self._ended = True
            in_use = list(self._in_use)
        for connection in in_use:
            try:
                connection.sock.shutdown(SHUT_RDWR)
            except (OSError, AttributeError):
                continue  # closed meanwhile
        self.DropConnections()


@attrs.frozen(eq=False)
class Session:
    """A login. ``datacenters``: the names of those at the top of the inventory. All its methods block."""

    stub: Stub
    content: Any
    datacenters: tuple[str, ...] = ()

    def owns(self, *refs: Ref | None) -> bool:
        """Whether these came by this login. Ids repeat when a vCenter begins anew, so others may mean anything."""
        return all(ref is None or ref._stub is self.stub for ref in refs)

    def find(self, path: str) -> Ref | None:
        """The object at an inventory path such as ``DC/vm/folder/name``."""
        return self.content.searchIndex.FindByInventoryPath(path)

    def read(self, start: Iterable[Ref], wanted: Mapping[Any, Sequence[str]], through: Sequence[Any] = ()) -> Found:
        """The properties wanted, by type, of these objects and of those that ``through`` leads to; unset ones are
        left out. One call, unless the answer comes in pages. Raises NotAuthenticated, which vCenter may answer here
        object by object."""
        spec = Spec.FilterSpec(
            objectSet=[Spec.ObjectSpec(obj=each, selectSet=list(through)) for each in start],
            propSet=[Spec.PropertySpec(type=kind, pathSet=list(paths)) for kind, paths in wanted.items()],
        )
        collector = self.content.propertyCollector
        page = collector.RetrievePropertiesEx([spec], Spec.RetrieveOptions())
        found: Found = {}
        while page:
            for each in page.objects:
                _check_whole(each.missingSet)
                found[each.obj] = {prop.name: prop.val for prop in each.propSet}
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
        return found

    def host_name(self, host: Ref) -> str:
        """The name of a host; its id when the account may not read it, or it is gone."""
        try:
            found = self.read([host], {vim.HostSystem: ["name"]})
        except vim.fault.NotAuthenticated:
            raise
        except (vim.fault.NoPermission, vmodl.fault.ManagedObjectNotFound):
            found = {}
        return str(found.get(host, {}).get("name", host._moId))

    def log_out(self) -> None:
        """Leave nothing behind at the vCenter."""
        self.content.sessionManager.Logout()

    def end(self) -> None:
        """Have every call fail, those under way too."""
        self.stub.end()


Found = dict[Ref, dict[str, Any]]
"""Properties by their paths, by object."""


def _check_whole(missing: Iterable[Any]) -> None:
    """Raise the NoPermission that kept something from being read; NotAuthenticated is one. The answer is partial."""
    for each in missing or ():
        if isinstance(each.fault, vim.fault.NoPermission):
            raise each.fault


def log_in(settings: Vsphere) -> Session:
    """A new login. Blocks; raises what the connection or the vCenter raises."""
    host, port, plain = address(settings.server)
    stub = Stub(
        host=host,
        port=-port if plain else port,
        version=VERSION,
        poolSize=settings.threads,
        sslContext=None if plain else _context(settings),
        acceptCompressedResponses=False,
        connectionPoolTimeout=IDLE,
        httpConnectionTimeout=settings.timeout,
    )
    try:
        content: Any = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
        content.sessionManager.Login(settings.username, settings.password, None)
        bare = Session(stub, content)
        found = bare.read([content.rootFolder], {vim.Datacenter: ["name"]}, [CHILDREN])
    except BaseException:
        stub.end()
        raise
    return attrs.evolve(bare, datacenters=tuple(sorted(each["name"] for each in found.values())))


def address(server: str) -> tuple[str, int, bool]:
    """Host, port and whether without TLS, of ``host``, ``host:port`` or ``http://host:port``."""
    plain = server.startswith("http://")
    place = server.removeprefix("http://").removeprefix("https://").rstrip("/")
    host, colon, port = place.rpartition(":")
    if not colon or not port.isdigit():
        return place, 80 if plain else 443, plain
    return host, int(port), plain


def _context(settings: Vsphere) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if settings.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
