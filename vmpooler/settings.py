"""What an operator can set: one frozen class for each section of ``vmpooler.yaml``.

Every field is made by :func:`setting`, with its default and a sentence about it. The sentence, its unit and
its limits are read by ``config.py`` (which tells mistakes) and by the tests that hold ``vmpooler.yaml.example``
and the documentation to this page. A field without a default must be given.

Units are those of the file, which are those of the original: minutes for ``timeout`` and its like, hours for
lifetimes. Code that compares them with a clock converts them where it compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What the name of a pool or an alias may look like: it stands in paths, Redis keys and metrics."""

UNIX = "unix"
"""Stands among addresses for who comes over a unix socket, and has none."""

ADDRESS = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::[0-9]{1,5})?"
"""What the place of a server may look like: a host, or one and its port."""

AUTO = 0
"""Stands in ``task_limit`` for: as many as the provider bears."""

SENTINEL_PORT = 26379
"""Where a sentinel is unless said otherwise."""


def address_of(text: str, port: int) -> tuple[str, int]:
    """Host and port of what matches ADDRESS; ``port`` where it has none."""
    host, colon, given = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, given = text, str(port)
    return host.strip("[]"), int(given)


def setting(
    text: str,
    default: Any = attrs.NOTHING,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    words: Mapping[str, int] = MappingProxyType({}),
    pattern: str | None = None,
    secret: bool = False,
    path: bool = False,
    inherits: bool | str = False,
    served: bool = True,
    variable: str = "",
    part: type | None = None,
) -> Any:
    """A field that an operator can set.

    ``text`` is one sentence for the operator. A ``secret`` is never printed, and may come from ``<name>_file``
    or the environment. A relative ``path`` starts from the folder of the configuration file, or from the working
    directory when the configuration came by the environment; it is made absolute. ``inherits``: a pool without it
    takes the value of the same name, or of this one, under ``config``. ``served=False``: accepted, since the original
    has it, and warned of, since nothing acts on it yet. ``variable``: the name of a secret in the environment, where
    it is not the usual one. ``words`` may stand in place of a number, and mean what they map to. ``part``: the class
    of a section within the section; None when it is not there.
    """
    limits = {"minimum": minimum, "maximum": maximum, "choices": choices, "words": words, "pattern": pattern}
    flags = {"secret": secret, "path": path, "inherits": inherits, "served": served}
    kinds = {"variable": variable, "part": part}
    return attrs.field(default=default, repr=not secret, metadata={"text": text, **limits, **flags, **kinds})


@attrs.frozen(kw_only=True)
class General:
    """The section ``config``: what holds for the whole service."""

    listen: str = setting(
        "Where the API answers: a port, an address and port, or any Twisted endpoint (tcp:…, ssl:…, unix:…).", "4567"
    )
    health_listen: str = setting(
        "Where a manager whose process does not answer the API answers /healthz and /readyz; nowhere when empty.", ""
    )
    site_name: str = setting("The name of this installation, shown on the dashboard.", "vmpooler")
    domain: str = setting("The domain of the VMs, a member of its own in replies; none when empty.", "")
    prefix: str = setting("What the name of every VM starts with.", "", pattern=r"([A-Za-z0-9][A-Za-z0-9_-]{0,40})?")
    logfile: str = setting(
        "The file that a daemon logs to, relative to this one; in the foreground the log goes to standard output.",
        "vmpooler.log",
        path=True,
    )
    log_format: str = setting(
        "How a log line looks: plain (as the original's) or json.", "plain", choices=("plain", "json")
    )
    state_directory: str = setting(
        "The directory that an embedded Redis keeps its data in, relative to this file's.", ".vmpooler", path=True
    )
    task_limit: int = setting(
        "How many clones may be under way at once, all pools together; auto for as many as their provider bears.",
        10,
        minimum=1,
        words={"auto": AUTO},
    )
    task_limit_max: int = setting("How many at the most where task_limit is auto.", 100, minimum=1)
    timeout: float = setting("Minutes that a pending VM may take to become ready.", 15, minimum=0.01)
    ready_ttl: float = setting(
        "Minutes that a ready VM stays fresh before it is replaced; 0 for no limit.", 0, minimum=0
    )
    vm_checktime: float = setting("Minutes between two checks of a ready VM.", 15, minimum=0.01)
    vm_lifetime: float = setting(
        "Hours that a checked-out VM lives, unless its client says otherwise.", 24, minimum=0.01
    )
    vm_lifetime_auth: int = setting("The same for a VM checked out with a token; 0 for no difference.", 0, minimum=0)
    max_lifetime_upper_limit: float = setting(
        "Hours that clients may ask for at the most when they set a lifetime; 0 for no limit.", 0, minimum=0
    )
    discovered_grace: float = setting(
        "Minutes that a VM must be unknown, or missing, without a break before it is acted on.", 10, minimum=0.01
    )
    destroy_foreign: bool = setting("Also destroy unknown VMs that this service did not make.", False)
    clone_target: str = setting("The cluster that VMs are cloned to; where their template is when empty.", "")
    create_linked_clones: bool = setting("Clone by sharing the template's disks instead of copying them.", True)
    create_folders: bool = setting("Make the folders of pools at the vCenter where they are missing.", False)
    create_template_delta_disks: bool = setting(
        "Put a layer on the disks of templates that have none, so that linked clones can share what is below.", False
    )
    utilization_limit: float = setting(
        "The share of its CPU or memory, in percent, above which a host gets no more clones; 0 for no limit.",
        0,
        minimum=0,
        maximum=100,
    )
    allowed_tags: tuple[str, ...] = setting("The only tags that clients may set; all when empty.", ())
    task_tries: int = setting(
        "How often a disk, a snapshot or a revert is tried before it is given up.", 8, minimum=1, maximum=100
    )
    daily_retention: int = setting(
        "Days that what summaries are made of is kept: clone times, boot times, tags; 0 for ever.",
        366,
        minimum=0,
        maximum=36500,
    )
    events_max: int = setting("How many events the stream in Redis keeps.", 100_000, minimum=100)
    event_clients: int = setting(
        "How many clients one process tells of events at once; more are refused.", 5000, minimum=0, maximum=100_000
    )


@attrs.frozen(kw_only=True)
class Redis:
    """The section ``redis``: where all state is kept."""

    server: str = setting(
        "The host of the Redis server, or embedded for a private one that this service starts.", "localhost"
    )
    port: int = setting("The port of the Redis server.", 6379, minimum=1, maximum=65535)
    socket: str = setting("The path of a Redis server's unix socket, used instead of server and port.", "", path=True)
    database: int = setting("The number of the database.", 0, minimum=0)
    username: str = setting("The user to log in as; Redis's default user when empty.", "")
    password: str = setting("The password to log in with; none when empty.", "", secret=True)
    tls: bool = setting("Speak TLS to the Redis server.", False)
    tls_ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    sentinels: tuple[str, ...] = setting(
        "The sentinels (host or host:port) that know where the primary is, instead of server, port and socket.",
        (),
        pattern=ADDRESS,
    )
    sentinel_master: str = setting("The name of the primary at the sentinels.", "mymaster")
    sentinel_username: str = setting("The user to log in as at the sentinels; their default user when empty.", "")
    sentinel_password: str = setting("The password to log in with there; none when empty.", "", secret=True)
    wait_replicas: int = setting(
        "How many replicas must have what a client is told is done; 0 to wait for none.", 0, minimum=0, maximum=100
    )
    wait_timeout: float = setting(
        "Seconds that these may take; then the client is told 503.", 1, minimum=0.01, maximum=4
    )
    data_ttl: float = setting("Hours that the record of a destroyed VM is kept.", 168, minimum=0.01)


@attrs.frozen(kw_only=True)
class Pool:
    """One entry of ``pools``: a named set of like VMs, kept at ``size``."""

    name: str = setting("The name that clients ask for.", pattern=NAME)
    alias: tuple[str, ...] = setting(
        "Other names by which clients can ask for it; several pools may share one.", (), pattern=NAME
    )
    template: str = setting("The path of the image that is cloned.", "")
    folder: str = setting("The folder that the VMs of this pool live in, and nothing else does.", "")
    datastore: str = setting("Where the disks of its VMs go.", "")
    size: int = setting("How many VMs are kept ready.", minimum=0)
    provider: str = setting(
        "The entry of providers that makes its VMs; when empty vsphere if there is one, else dummy.", ""
    )
    datacenter: str = setting("The path of its datacenter; when empty that of its provider.", "")
    clone_target: str = setting("The cluster that its VMs are cloned to.", "", inherits=True)
    create_linked_clone: bool = setting(
        "Clone by sharing the template's disks instead of copying them.", True, inherits="create_linked_clones"
    )
    timeout: float = setting("Minutes that one of its VMs may take to become ready.", 15, minimum=0.01, inherits=True)
    ready_ttl: float = setting(
        "Minutes that one of its ready VMs stays fresh; 0 for no limit.", 0, minimum=0, inherits=True
    )
    probe_port: int = setting("The TCP port that must answer before a VM is ready.", 22, minimum=1, maximum=65535)


def percentage(text: str) -> Any:
    """A field that is a share of a hundred; none by default."""
    return setting(text, 0, minimum=0, maximum=100)


@attrs.frozen(kw_only=True)
class Dummy:
    """An entry of ``providers`` of class ``dummy``: a simulated hypervisor, for trying out and for tests."""

    filename: str = setting(
        "The file that the imaginary VMs are remembered in; in memory only when empty.", "", path=True
    )
    createvm_max_time: float = setting("Seconds that a clone takes at the most.", 0, minimum=0)
    createvm_fail_percent: float = percentage("How many clones of a hundred fail.")
    bootvm_max_time: float = setting("Seconds that a guest takes to boot at the most.", 0, minimum=0)
    bootvm_fail_percent: float = percentage("How many guests of a hundred never boot.")
    vmready_fail_percent: float = percentage("How many probes of a hundred find no answer.")
    getvm_poweroff_percent: float = percentage("How many looks at a guest of a hundred find it switched off.")
    getvm_rename_percent: float = percentage("How many looks at a guest of a hundred find another host name.")
    destroyvm_max_time: float = setting("Seconds that a destruction takes at the most.", 0, minimum=0)
    destroyvm_fail_percent: float = percentage("How many destructions of a hundred fail.")
    createdisk_max_time: float = setting("Seconds that an extra disk takes at the most.", 0, minimum=0)
    createdisk_fail_percent: float = percentage("How many extra disks of a hundred fail.")
    createsnapshot_max_time: float = setting("Seconds that a snapshot takes at the most.", 0, minimum=0)
    createsnapshot_fail_percent: float = percentage("How many snapshots of a hundred fail.")
    revertsnapshot_max_time: float = setting("Seconds that a revert takes at the most.", 0, minimum=0)
    revertsnapshot_fail_percent: float = percentage("How many reverts of a hundred fail.")
    tcp_probe: bool = setting("Probe the guests' addresses over TCP for real instead of asking the simulation.", False)


@attrs.frozen(kw_only=True)
class Vsphere:
    """An entry of ``providers`` of class ``vsphere``, or the section ``vsphere`` of old files."""

    server: str = setting("The vCenter: its host name, and :port unless that is 443.", pattern=r"\S+")
    username: str = setting("Who to log in as.")
    password: str = setting("The password to log in with.", "", secret=True)
    ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    insecure: bool = setting("Do not verify its certificate; anybody on the way can then read the password.", False)
    datacenter: str = setting("The path of the datacenter of its pools; needed where there are several.", "")
    probe: str = setting(
        "Where a guest is probed: at the address that it reports, or at its name.",
        "address",
        choices=("address", "name"),
    )
    timeout: float = setting("Seconds that an answer of the vCenter may take.", 30, minimum=2, maximum=600)
    threads: int = setting("How many calls to the vCenter may be under way at once.", 8, minimum=1, maximum=64)
    max_clones: int = setting("How many clones may be under way at this vCenter at once.", 10, minimum=1)
    max_changes: int = setting(
        "How many VMs may be switched off, given disks or stamps, saved or reverted at once.", 10, minimum=1
    )
    max_destroys: int = setting("How many VMs may be destroyed at once.", 10, minimum=1)


@attrs.frozen(kw_only=True)
class Graphite:
    """The section ``graphite``: where metrics go."""

    server: str = setting("The host that takes metrics.")
    port: int = setting("Its port.", 2003, minimum=1, maximum=65535)
    prefix: str = setting("What the name of every metric starts with.", "vmpooler")


@attrs.frozen(kw_only=True)
class Graphs:
    """The section ``graphs``: where metrics can be read. Without it, where ``graphite`` sends them."""

    server: str = setting(
        "The web server of Graphite, which charts ask for what is older than the service: a host, host:port or URL; "
        "none is asked when empty.",
        "",
        pattern=r"((https?://)?[^\s/?#]+(/[^\s?#]*)?)?",
    )
    prefix: str = setting("What the name of every metric there starts with.", "vmpooler")


@attrs.frozen(kw_only=True)
class ServiceAccount:
    """The section ``service_account_hash`` of ``ldap``: who searches for the users' names."""

    user_dn: str = setting("The name (DN) to bind as.", pattern="[^=]+=.+")
    password: str = setting("Its password.", pattern=".+", secret=True, variable="VMPOOLER_LDAP_PASSWORD")


@attrs.frozen(kw_only=True)
class Ldap:
    """The section ``ldap`` of ``auth``: a server that knows the users."""

    host: str = setting("The LDAP server: a name that its certificate has.", pattern="[A-Za-z0-9._:-]+")
    port: int = setting("Its port; with simple_tls usually 636.", 389, minimum=1, maximum=65535)
    encryption: str = setting(
        "How passwords are kept secret on their way: start_tls, simple_tls (LDAPS), or none, which does not.",
        "start_tls",
        choices=("start_tls", "simple_tls", "none"),
    )
    ca_file: str = setting("The file of certificates (PEM) to trust instead of the system's.", "", path=True)
    tls_verify: bool = setting("Verify the server's certificate; without, anybody on the way can read passwords.", True)
    base: tuple[str, ...] = setting("Below which entries the users are, one or several.", pattern="[^=]+=.+")
    user_object: tuple[str, ...] = setting(
        "The attributes, one or several, that may have a user's name.", pattern="[A-Za-z][A-Za-z0-9-]*|[0-9.]+"
    )
    timeout: float = setting("Seconds that a check of a password may take.", 10, minimum=0.1, maximum=60)
    service_account_hash: ServiceAccount | None = setting(  # noqa: RUF009 - a field, not a value
        "Who searches for a user below base; without, a user's name is put together of user_object and base.",
        None,
        part=ServiceAccount,
    )


@attrs.frozen(kw_only=True)
class Auth:
    """The section ``auth``: when it is there, tokens are checked."""

    provider: str = setting("Who knows the users: ldap or dummy.", choices=("ldap", "dummy"))
    cache_seconds: float = setting(
        "Seconds that a password which was right is not asked for again; 0 for none.", 60, minimum=0, maximum=3600
    )
    owner_only: bool = setting(
        "A VM that was checked out with a token, and a token, can be changed by their own user only.", False
    )
    ldap: Ldap | None = setting("The server that knows the users.", None, part=Ldap)  # noqa: RUF009 - a field


@attrs.frozen(kw_only=True)
class Limits:
    """The section ``limits``: what clients may take of a process, and of the records of their VMs."""

    connections: int = setting(
        "Connections that a process keeps beside those of clients who listen to events; of more, the oldest that waits "
        "for its client is closed.",
        4000,
        minimum=10,
        maximum=1_000_000,
    )
    connections_per_address: int = setting(
        "How many of its connections one address may have, in the same way; 0 for no limit of its own.", 0, minimum=0
    )
    requests: int = setting(
        "Requests that a process works on at once; more are answered with 503 and Retry-After.", 4000, minimum=1
    )
    request_time: float = setting(
        "Seconds that a client may take for a whole request, from when it connected or from its last answer, and to "
        "take that answer.",
        60,
        minimum=1,
        maximum=3600,
    )
    header_bytes: int = setting(
        "Bytes that the first line and the headers of a request may have.", 16384, minimum=1024, maximum=1_048_576
    )
    headers: int = setting("Headers that a request may have.", 200, minimum=20, maximum=10_000)
    body_bytes: int = setting("Bytes that the body of a request may have.", 65536, minimum=1024, maximum=1_048_576)
    tags: int = setting("Tags that a VM may have.", 500, minimum=1, maximum=100_000)
    rate: int = setting(
        "Requests that a token, or without one an address, may make at once, and as many again in each rate_time; more "
        "are answered with 429 and Retry-After; 0 for no limit.",
        0,
        minimum=0,
    )
    rate_time: float = setting("Seconds after which so many requests can be made again.", 60, minimum=1, maximum=86_400)
    trusted_proxies: tuple[str, ...] = setting(
        "Proxies whose X-Forwarded-For is believed: addresses, networks, or unix for what comes over a unix socket.",
        (),
        pattern=UNIX + "|[0-9A-Fa-f.:]+(/[0-9]{1,3})?",
    )


@attrs.frozen(kw_only=True)
class Settings:
    """All of ``vmpooler.yaml``. ``pools`` are complete: what a pool inherits has been filled in."""

    general: General = General()
    redis: Redis = Redis()
    pools: tuple[Pool, ...] = ()
    providers: Mapping[str, Dummy | Vsphere] = attrs.field(factory=dict)
    auth: Auth | None = None
    graphite: Graphite | None = None
    graphs: Graphs | None = None
    limits: Limits = Limits()
    tagfilter: Mapping[str, re.Pattern[str]] = setting(
        "For a tag, the regular expression whose groups, joined, are kept of its value.",
        attrs.Factory(dict),
    )
