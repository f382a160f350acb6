"""One login at a vCenter: a SOAP connection with a timeout on every call, and the calls that read objects."""

from __future__ import annotations

import ssl
import threading
import weakref
import zlib
from collections.abc import Iterable, Mapping, Sequence
from http.client import BadStatusLine, HTTPConnection, HTTPException, RemoteDisconnected
from socket import SHUT_RDWR
from typing import Any
from xml.parsers.expat import ExpatError, errors

import attrs
from pyVmomi import SoapAdapter, vim, vmodl
from pyVmomi.VmomiSupport import F_OPTIONAL

from vmpooler.providers.vsphere.errors import NoResponse
from vmpooler.providers.vsphere.settings import Vsphere

VERSION = "vim.version.version11"
"""The API version of vSphere 6.5, which every newer vCenter also supports."""

IDLE = 10
"""Seconds after which an idle connection is not used again: the other side may be closing it."""

ENVELOPE = f"{SoapAdapter.XMLNS_SOAPENV}{SoapAdapter.NS_SEP}Envelope"
BODY = f"{SoapAdapter.XMLNS_SOAPENV}{SoapAdapter.NS_SEP}Body"

ENDED = [errors.codes[each] for each in (errors.XML_ERROR_NO_ELEMENTS, errors.XML_ERROR_UNCLOSED_TOKEN)]
"""The codes of expat for a document that ends before its root element ends."""

Spec = vmodl.query.PropertyCollector
CHILDREN = Spec.TraversalSpec(name="child", path="childEntity", skip=False, type=vim.Folder)
"""The traversal from a folder to its children."""

Ref = Any
"""A managed object. It is bound to the connection that returned it: after a new login, calls on it are refused.

Two private names of pyVmomi, seen in 9.1, are used in this module only: its ``_stub`` is that connection, and its
``_moId`` is its id at the vCenter.
"""


class _Deserializer(SoapAdapter.SoapResponseDeserializer):
    """Reads an answer. Raises NoResponse unless it is the Response of the method that was called, or a Fault.

    Note [What counts as an answer]: pyVmomi accepts any well-formed XML without a ``...Response`` element as an answer
    whose result is unset. For ``FindByInventoryPath`` such an answer means "no such object", for the first
    ``WaitForUpdatesEx`` "no objects exist", and for ``ContinueRetrievePropertiesEx`` "no more pages". A proxy or a
    captive portal sends such a page with status 200, so it must fail here, for every method. A Response without a
    result is a genuine answer if the method may return none; :class:`Stub` checks that.

    Note [Answers are freed at once]: pyVmomi's parser and deserializer refer to each other. Without the cleanup here,
    every answer would stay in memory until a garbage collection, which for large answers stalls the whole process,
    including the reactor.
    """

    def Deserialize(self, *args: Any, **kwargs: Any) -> Any:
        self._path: list[str] = []
        self._answered = False
        call = getattr(self.stub, "call", None)
        self._expected = call and f"{call.method}Response"
        try:
            result = super().Deserialize(*args, **kwargs)
            if not self._answered:
                raise NoResponse("an envelope with an empty body")
            if call:
                call.is_fault = self.isFault
            return result
        except ExpatError as error:
            ended = error.code in ENDED
            raise NoResponse("it is empty or ends too early" if ended else "it is no XML") from error
        except zlib.error as error:
            raise NoResponse("it cannot be decompressed") from error
        finally:
            self.__dict__.pop("parser", None)
            self.deser.__dict__.clear()

    def StartElementHandler(self, tag: str, attr: Mapping[str, str]) -> None:
        """Process an element outside a result: the elements of a result go to another deserializer."""
        match self._path:
            case [] if tag != ENVELOPE:
                raise NoResponse(f"its root is {_local(tag)}")
            case [_, part] if part == BODY:
                if self._answered or not (tag == self.soapFaultTag or self._is_response(_local(tag))):
                    raise NoResponse(f"its body has {_local(tag)}")
                self._answered = True
        self._path.append(tag)
        if self._path[1:2] == [BODY]:
            super().StartElementHandler(tag, attr)

    def EndElementHandler(self, tag: str) -> None:
        """Process the end of an element outside a result."""
        self._path.pop()
        super().EndElementHandler(tag)

    def _is_response(self, name: str) -> bool:
        return name == self._expected if self._expected else name.endswith("Response")


def _local(tag: str) -> str:
    return tag.rpartition(SoapAdapter.NS_SEP)[2]


SoapAdapter.SoapResponseDeserializer = _Deserializer  # type: ignore[misc]  # the class that pyvmomi reads replies with


class _Call(threading.local):
    """The call that this thread has in progress: its method, and whether the answer is a Fault."""

    method = ""
    is_fault = False


class Stub(SoapAdapter.SoapStubAdapter):
    """A connection that sends every call only once, and that can be ended while calls are in progress."""

    def __init__(self, **options: Any) -> None:
        self._cookie = ""
        self.call = _Call()
        super().__init__(**options)
        self._in_use: weakref.WeakSet[HTTPConnection] = weakref.WeakSet()
        self._ended = False

    @property
    def cookie(self) -> str:
        """The cookie that identifies the session at the vCenter."""
        return self._cookie

    @cookie.setter
    def cookie(self, cookie: str) -> None:
        """pyVmomi stores the last cookie of any answer. The cookie of a proxy's page must not end the session."""
        if not cookie or SoapAdapter.COOKIE_NAME in cookie:
            self._cookie = cookie

    def InvokeMethod(self, mo: Any, info: Any, args: Any, outerStub: Any = None) -> Any:
        """Return the result of one call.

        Raises its Fault, NoResponse, and the errors of the connection. See Note [What counts as an answer].
        """
        self.call.method, self.call.is_fault = info.wsdlName, False
        try:
            result = super().InvokeMethod(mo, info, args, outerStub)
        except Exception as error:
            if type(error) is HTTPException:  # pyVmomi's, for a status that is neither 200 nor 500
                raise NoResponse(f"HTTP status {error}") from error
            if isinstance(error, BadStatusLine) and not isinstance(error, RemoteDisconnected):
                raise NoResponse("it is no HTTP") from error
            if type(error) is Exception:  # pyVmomi's, for a Response under status 500; its text is the whole answer
                raise NoResponse("a Response under status 500") from None
            raise
        if self.call.is_fault:  # under status 200, where pyVmomi returns it as the result
            raise result
        if result is None and not info.resultFlags & F_OPTIONAL and info.result is not type(None):
            raise NoResponse(f"{info.wsdlName}Response without its result")
        return result

    def GetConnection(self) -> HTTPConnection:
        """Return an open connection for one call. Raises ConnectionAbortedError after :meth:`end`."""
        connection: HTTPConnection = super().GetConnection()
        with self.lock:
            if not self._ended:
                self._in_use.add(connection)
                return connection
        connection.close()
        raise ConnectionAbortedError("the connection was ended")

    def ReturnConnection(self, connection: HTTPConnection) -> None:
        """Release the connection of a finished call for reuse."""
        with self.lock:
            self._in_use.discard(connection)
        super().ReturnConnection(connection)
        if self._ended:
            self.DropConnections()  # :meth:`end` may have dropped the idle connections before

    def end(self) -> None:
        """Prevent new calls, and make the calls in progress fail."""
        with self.lock:
            self._ended = True
            in_use = list(self._in_use)
        for connection in in_use:
            try:
                connection.sock.shutdown(SHUT_RDWR)
            except (OSError, AttributeError):
                continue  # closed in the meantime
        self.DropConnections()


@attrs.frozen(eq=False)
class Session:
    """A login.

    ``datacenters``: the names of the datacenters at the top of the inventory. Methods that send calls block.
    """

    stub: Stub
    content: Any
    datacenters: tuple[str, ...] = ()

    def owns(self, *refs: Ref | None) -> bool:
        """Return whether these objects came from this login.

        A vCenter that is set up again reuses ids, so the objects of another login may refer to anything.
        """
        return all(ref is None or ref._stub is self.stub for ref in refs)

    def find(self, path: str) -> Ref | None:
        """Return the object at an inventory path such as ``DC/vm/folder/name``, or None."""
        return self.content.searchIndex.FindByInventoryPath(path)

    def read(self, start: Iterable[Ref], wanted: Mapping[Any, Sequence[str]], through: Sequence[Any] = ()) -> Found:
        """Return the wanted properties, by type, of these objects and of those that ``through`` leads to.

        Unset properties are left out. Sends one call, unless the answer comes in pages. Raises NotAuthenticated, which
        a vCenter may report here for each object. Raises NoResponse when the answer leaves out an object of ``start``:
        for an object that is gone, a vCenter reports ManagedObjectNotFound.
        """
        start = list(start)
        kinds = tuple(wanted)
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
            page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None  # never returns None
        for each in start:
            if isinstance(each, kinds) and each not in found:
                raise NoResponse(f"it leaves out {each._moId}")
        return found

    def host_name(self, host: Ref) -> str:
        """Return the name of a host; its id when the account may not read the host or the host is gone."""
        try:
            found = self.read([host], {vim.HostSystem: ["name"]})
        except vim.fault.NotAuthenticated:
            raise
        except (vim.fault.NoPermission, vmodl.fault.ManagedObjectNotFound):
            found = {}
        return str(found.get(host, {}).get("name", host._moId))

    def log_out(self) -> None:
        """End the session at the vCenter."""
        self.content.sessionManager.Logout()

    def end(self) -> None:
        """Make every call fail, including the calls in progress."""
        self.stub.end()


Found = dict[Ref, dict[str, Any]]
"""For each object, its properties by path."""


def _check_whole(missing: Iterable[Any]) -> None:
    """Raise the NoPermission that prevented a property from being read: the answer is partial.

    NotAuthenticated is a subclass of NoPermission.
    """
    for each in missing or ():
        if isinstance(each.fault, vim.fault.NoPermission):
            raise each.fault


def log_in(settings: Vsphere) -> Session:
    """Log in and return the session. Blocks; raises what the connection or the vCenter raises."""
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
    """Return host, port and whether TLS is off, for ``host``, ``host:port`` or ``http://host:port``."""
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
