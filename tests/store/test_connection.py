import datetime
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, formatEvent
from twisted.python.failure import Failure

from tests.redis_server import RedisServer
from vmpooler.domain.errors import Invalid, StartError, StoreAway
from vmpooler.settings import Redis
from vmpooler.store.redis.client import Connection, require_version
from vmpooler.store.redis.scripts import StoreFault, script

clock: Any = reactor

Connect = Callable[..., Connection]

WRITE = "-- keys: key\n-- args: value\nreturn redis.call('SET', key, value)"


@pytest_twisted.async_yield_fixture
async def connect() -> AsyncIterator[Connect]:
    """Returns a function that creates started connections, by default of one wire; closes them after the test."""
    made = []

    def make(settings: Redis, **options: Any) -> Connection:
        connection = Connection(settings, reactor, **{"size": 1, **options})
        connection.start()
        made.append(connection)
        return connection

    yield make
    for connection in made:
        await connection.close()


def seconds_since(start: float) -> float:
    return float(clock.seconds() - start)


async def refused(connection: Connection) -> StoreAway:
    """Return the error with which the connection refuses a command. The command must fail immediately."""
    start = clock.seconds()
    with pytest.raises(StoreAway) as error:
        await connection.call("SET", "refused", "1")
    assert seconds_since(start) < 0.1
    return error.value


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await deferLater(clock, 0.01)


@pytest.mark.parametrize("value", ["1.10", "007", "1_000", "+5", "nan", "", "ünïcödé", "not utf-8: \udcff\udc80"])
async def test_a_string_comes_back_as_it_was(store: Connection, value: str) -> None:
    await store.call("HSET", "h", value, value)
    assert await store.call("HGETALL", "h") == [value, value]


async def test_a_number_is_sent_with_all_its_digits(store: Connection) -> None:
    await store.call("SET", "k", 0.000000123)
    assert float(await store.call("GET", "k")) == 0.000000123


async def test_text_that_cannot_be_sent_is_the_clients_mistake(store: Connection) -> None:
    with pytest.raises(Invalid):
        await store.call("SET", "k", "\ud800")


async def test_a_script_runs_whether_redis_knows_it_or_not(store: Connection) -> None:
    text = "-- keys: number\n-- args: more\nredis.call('INCRBY', number, more) return redis.call('GET', number)"
    add = script("add", text)
    assert [await store.run(add, number="n", more=2) for _ in range(2)] == ["2", "4"]
    await store.call("SCRIPT", "FLUSH")
    assert await store.run(add, number="n", more=2) == "6"


async def test_a_faulty_command_is_a_fault_and_not_bad_weather(store: Connection) -> None:
    await store.call("SET", "k", "v")
    with pytest.raises(StoreFault, match="HGETALL: WRONGTYPE"):
        await store.call("HGETALL", "k")
    with pytest.raises(StoreFault, match="broken: ERR"):
        await store.run(script("broken", "return nonsense()"))


async def test_a_redis_that_is_full_or_read_only_is_away(connect: Connect, spare_redis: RedisServer) -> None:
    connection = connect(spare_redis.settings)
    await connection.wait_ready(10)
    write = script("write", WRITE)
    await connection.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(StoreAway, match="OOM") as full:
        await connection.run(write, key="k", value="v")
    await connection.call("CONFIG", "SET", "maxmemory", "0")
    await connection.call("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(StoreAway, match="READONLY") as replica:
        await connection.call("SET", "k", "v")
    assert not full.value.sent
    assert not replica.value.sent


async def test_a_redis_that_cannot_save_is_away(connect: Connect, spare_redis: RedisServer) -> None:
    connection = connect(spare_redis.settings)
    await connection.wait_ready(10)
    await connection.call("CONFIG", "SET", "save", "3600 1")
    await connection.call("SET", "k", "v")
    Path(spare_redis.socket).with_name("dump.rdb").mkdir()
    await connection.call("BGSAVE")
    while "rdb_last_bgsave_status:err" not in await connection.call("INFO", "persistence"):
        await deferLater(clock, 0.01)
    with pytest.raises((StoreAway, StoreFault), match="MISCONF") as no:
        await connection.run(script("write", WRITE), key="k", value="w")
    assert isinstance(no.value, StoreAway)
    assert not no.value.sent
    assert await connection.call("GET", "k") == "v"


async def test_what_replicas_do_not_confirm_may_have_been_done(connect: Connect, redis_server: RedisServer) -> None:
    cautious = attrs.evolve(redis_server.settings, wait_replicas=1, wait_timeout=0.05)
    connection = connect(cautious)
    await connection.wait_ready(10)
    with pytest.raises(StoreAway, match="0 of 1 replicas") as uncertain:
        await connection.run(script("add_token", WRITE), key="k", value="1")
    assert uncertain.value.sent
    assert await connection.call("GET", "k") == "1"


async def test_a_cancelled_command_leaves_the_others_in_step(connect: Connect, redis_server: RedisServer) -> None:
    connection = connect(redis_server.settings)
    await connection.wait_ready(10)
    first, second = (Deferred.fromCoroutine(connection.call("ECHO", text)) for text in ("first", "second"))
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    assert await second == "second"


async def test_redis_away_is_reported_at_once_and_redis_back_is_noticed(
    connect: Connect, spare_redis: RedisServer
) -> None:
    connection = connect(spare_redis.settings, size=3)
    await connection.wait_ready(10)
    spare_redis.kill()
    await until(lambda: bool(connection.last_error))
    assert not (await refused(connection)).sent
    with pytest.raises(StoreAway, match=r"No such file|refused"):
        await connection.wait_ready(0.2)
    spare_redis.start()
    await connection.wait_ready(5)
    assert await connection.call("DBSIZE") == 0, "a command that was refused has run late"


async def test_a_command_under_way_when_redis_dies_may_have_been_carried_out(
    connect: Connect, spare_redis: RedisServer
) -> None:
    connection = connect(spare_redis.settings)
    await connection.wait_ready(10)
    waiting = Deferred.fromCoroutine(connection.call("BLPOP", "nothing", 0))
    await deferLater(clock, 0.05)
    spare_redis.kill()
    with pytest.raises(StoreAway) as error:
        await waiting
    assert error.value.sent


async def test_a_redis_that_hangs_is_away_after_the_reply_timeout_and_then_at_once(
    connect: Connect, spare_redis: RedisServer
) -> None:
    connection = connect(spare_redis.settings, size=3, reply_timeout=0.3)
    await connection.wait_ready(10)
    spare_redis.freeze()
    start = clock.seconds()
    with pytest.raises(StoreAway, match=r"no answer within 0\.3 s") as error:
        await connection.call("SET", "k", "v")
    assert error.value.sent
    assert 0.25 < seconds_since(start) < 1
    await deferLater(clock, 0.2)
    assert not (await refused(connection)).sent
    spare_redis.thaw()
    await connection.wait_ready(5)


async def test_a_reader_may_wait_for_longer(store: Connection) -> None:
    reader = store.reader(reply_timeout=5)
    reader.start()
    try:
        await reader.wait_ready(5)
        waiting = Deferred.fromCoroutine(reader.call("XREAD", "BLOCK", 4000, "STREAMS", "s", "$"))
        await deferLater(clock, 0.05)
        await store.call("XADD", "s", "1-1", "what", "ready")
        assert await waiting == [["s", [["1-1", ["what", "ready"]]]]]
    finally:
        await reader.close()


async def test_a_wrong_password_is_logged_without_it_and_tried_again(
    connect: Connect, spare_redis: RedisServer, logged: list[LogEvent]
) -> None:
    admin = connect(spare_redis.settings)
    await admin.wait_ready(10)
    guest = connect(attrs.evolve(spare_redis.settings, password="open sesame", database=3))
    with pytest.raises(StoreAway, match="password"):
        await guest.wait_ready(0.5)
    await admin.call("CONFIG", "SET", "requirepass", "open sesame")
    await guest.wait_ready(5)
    lines = [formatEvent(event) for event in logged if event["log_namespace"].startswith("vmpooler")]
    assert ["away" in line for line in lines] == [True, False], lines
    assert not [event for event in logged if "sesame" in repr(event)]
    await guest.call("SET", "k", "v")
    assert "db3:keys=1" in await admin.call("INFO", "keyspace")


async def test_a_redis_that_quotes_what_it_was_sent_is_not_quoted(
    connect: Connect, spare_redis: RedisServer, logged: list[LogEvent]
) -> None:
    spare_redis.kill()
    spare_redis.start("--rename-command", "AUTH", "", "--rename-command", "EVALSHA", "")
    guest = connect(attrs.evolve(spare_redis.settings, password="open sesame"))
    with pytest.raises(StoreAway, match="unknown command"):
        await guest.wait_ready(0.5)
    assert any("unknown command" in formatEvent(event) for event in logged)
    assert not [event for event in logged if "sesame" in repr(event)]
    admin = connect(spare_redis.settings)
    await admin.wait_ready(10)
    with pytest.raises(StoreFault, match=r"^script: ERR unknown command .EVALSHA.$"):
        await admin.run(script("script", "-- keys: token\nreturn 1"), token="a token")


async def test_a_user_of_redis_can_log_in(connect: Connect, spare_redis: RedisServer) -> None:
    admin = connect(spare_redis.settings)
    await admin.wait_ready(10)
    await admin.call("ACL", "SETUSER", "pooler", "on", ">secret", "~*", "+@all")
    guest = connect(attrs.evolve(spare_redis.settings, username="pooler", password="secret"))
    await guest.wait_ready(5)
    assert await guest.call("ACL", "WHOAMI") == "pooler"


async def test_a_connection_closed_while_it_starts_leaves_nothing(redis_server: RedisServer) -> None:
    connection = Connection(redis_server.settings, reactor)
    connection.start()
    await connection.close()
    with pytest.raises(StoreAway, match="closed"):
        await connection.call("PING")


async def test_after_the_end_there_is_no_retry_and_no_noise(spare_redis: RedisServer, logged: list[LogEvent]) -> None:
    connection = Connection(spare_redis.settings, reactor)
    connection.start()
    await connection.wait_ready(10)
    logged.clear()
    await connection.close()
    spare_redis.kill()
    await deferLater(clock, 0.3)
    assert not (await refused(connection)).sent
    assert logged == []


class Talker(Protocol):
    """Sends the answer that belongs to the first known word in the received data."""

    transport: Any

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers

    def dataReceived(self, data: bytes) -> None:
        for word, answer in self._answers.items():
            if word in data:
                self.transport.write(answer)
                return


async def test_an_old_redis_is_refused(connect: Connect) -> None:
    info = b"# Server\r\nredis_version:6.0.16\r\n"
    answers = {b"PING": b"+PONG\r\n", b"INFO": b"$%d\r\n%s\r\n" % (len(info), info)}
    port = clock.listenTCP(0, Factory.forProtocol(lambda: Talker(answers)), interface="127.0.0.1")
    connection = connect(Redis(server="127.0.0.1", port=port.getHost().port))
    with pytest.raises(StartError, match=r"is version 6\.0\.16: at least 6\.2 is needed"):
        await connection.wait_ready(5)
    await connection.close()
    await port.stopListening()


async def test_what_is_not_redis_is_an_error(connect: Connect) -> None:
    port = clock.listenTCP(0, Factory.forProtocol(lambda: Talker({b"": b"SSH-2.0-x\r\n"})), interface="127.0.0.1")
    connection = connect(Redis(server="127.0.0.1", port=port.getHost().port))
    with pytest.raises(StoreAway, match="not Redis"):
        await connection.wait_ready(0.3)
    await connection.close()
    await port.stopListening()


@pytest.mark.parametrize("version", ["6.2.0", "7.2.4", "10.0.0"])
def test_a_newer_redis_is_accepted(version: str) -> None:
    require_version(f"# Server\r\nredis_version:{version}\r\nredis_mode:standalone\r\n", "here")


@attrs.frozen
class RedisAuthority:
    """A certificate authority of the tests, and the certificate of a server that it has signed."""

    path: str
    server: PrivateCertificate


def authority(folder: Path) -> RedisAuthority:
    """Create one certificate that is both, for 127.0.0.1."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis of the tests")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(b"What openssl writes in front.\n" + pem)
    return RedisAuthority(str(folder / "ca.pem"), PrivateCertificate.loadPEM(secret + pem))


class Relay(Protocol):
    """Forwards received data to its other end."""

    transport: Any
    other: "Relay | None" = None

    def __init__(self) -> None:
        self._early = b""

    def meet(self, other: "Relay") -> None:
        self.other, other.other = other, self
        other.transport.write(self._early)

    def dataReceived(self, data: bytes) -> None:
        if self.other is None:
            self._early += data
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.other is not None:
            self.other.transport.loseConnection()


class Outside(Relay):
    """The end of a relay that clients connect to."""

    def __init__(self, socket: str) -> None:
        super().__init__()
        self._socket = socket

    def connectionMade(self) -> None:
        connectProtocol(UNIXClientEndpoint(clock, self._socket), Relay()).addCallback(self.meet)


@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")  # Twisted passes them, on both ends
async def test_tls_is_spoken_to_a_redis_that_can_be_verified_and_to_no_other(
    connect: Connect, redis_server: RedisServer, tmp_path: Path
) -> None:
    known, unknown = authority(tmp_path / "known"), authority(tmp_path / "unknown")
    front = Factory.forProtocol(lambda: Outside(redis_server.socket))
    port = clock.listenSSL(0, front, known.server.options(), interface="127.0.0.1")
    settings = Redis(server="127.0.0.1", port=port.getHost().port, tls=True)
    trusting = connect(attrs.evolve(settings, tls_ca_file=known.path))
    await trusting.wait_ready(5)
    for careful in (attrs.evolve(settings, tls_ca_file=unknown.path), settings):
        with pytest.raises(StoreAway, match="certificate verify failed"):
            await connect(careful).wait_ready(0.5)
    await trusting.close()
    await port.stopListening()


def test_certificates_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    for name, complaint in (("missing.pem", "cannot read"), ("empty.pem", "no certificate")):
        with pytest.raises(StartError, match=complaint):
            Connection(Redis(tls=True, tls_ca_file=str(tmp_path / name)), reactor)
