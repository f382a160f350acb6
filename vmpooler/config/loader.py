"""Reads the text of a configuration into Settings, and checks what settings must not be together."""

import ipaddress
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from vmpooler.config.auth import read_auth
from vmpooler.config.document import parse, plain
from vmpooler.config.providers import assign, read_providers
from vmpooler.config.reader import Reader
from vmpooler.config.report import NOT_SERVED, Report, key_shown, nearest, shown
from vmpooler.config.ruby_vmpooler import OLD_SECTIONS, SECTIONS
from vmpooler.config.values import endpoint
from vmpooler.providers.plugins import Drivers, installed
from vmpooler.settings import SENTINEL_PORT, UNIX, General, Graphite, Graphs, Limits, Pool, Redis, Settings, address_of

TAKEN = ("ok", "domain")
"""Members of replies beside the pools. A pool or an alias with such a name would replace them."""

SERVED = (
    *["config", "redis", "pools", "providers", "auth", "graphite", "graphs", "limits", "tagfilter"],
    *OLD_SECTIONS,
)
"""The sections that a file may have."""

INSTEAD_OF_SENTINELS = ("server", "port", "socket")
"""Settings of Redis that have no meaning with sentinels."""

LARGEST_PORT = 65535


@attrs.frozen
class Loaded:
    """A configuration that can be used, with warnings for its operator.

    ``secrets`` are the paths of the secrets that are in the text itself.
    """

    settings: Settings
    warnings: tuple[str, ...]
    secrets: tuple[str, ...] = ()


def load(text: str, *, environ: Mapping[str, str], base: Path, drivers: Drivers | None = None) -> Loaded:
    """Return the settings in the YAML ``text``. Secrets also come from ``environ``; relative paths start from ``base``.

    ``drivers`` are the classes of providers, by default those that are installed. Reads no file but those that a
    ``…_file`` key names. Raises ConfigError with every mistake at once.
    """
    report = Report()
    reader = Reader(environ, base, report)
    sections = reader.mapping(parse(text, report), "configuration") or {}
    _check_sections(sections, report)
    settings = _settings(reader, sections, installed() if drivers is None else drivers)
    report.raise_mistakes()
    return Loaded(settings, report.warnings(), report.secrets())


def _settings(reader: Reader, sections: Mapping[str, object], drivers: Drivers) -> Settings:
    general = reader.section(General, sections.get("config"), "config")
    _check_listen("config.listen", general.listen, reader.report)
    _check_listen("config.health_listen", general.health_listen or "0", reader.report)
    redis = reader.section(Redis, sections.get("redis"), "redis")
    _check_redis(redis, sections.get("redis"), reader.report)
    entries = read_providers(reader, sections, drivers)
    pools = assign(reader, _pools(reader, sections.get("pools"), general), entries, drivers)
    graphite = sections.get("graphite")
    sent = None if graphite is None else reader.section(Graphite, graphite, "graphite")
    return Settings(
        general=general,
        redis=redis,
        pools=pools,
        providers={name: entry.settings for name, entry in entries.items() if entry.settings is not None},
        auth=read_auth(reader, sections.get("auth")),
        graphite=sent,
        graphs=_graphs(reader, sections.get("graphs"), sent),
        limits=_limits(reader, sections.get("limits")),
        tagfilter=_tagfilter(reader, sections.get("tagfilter")),
    )


def _graphs(reader: Reader, raw: object, sent: Graphite | None) -> Graphs | None:
    """Return where metrics can be read: at the server that they are sent to, unless the file has another."""
    if raw is not None:
        return reader.section(Graphs, raw, "graphs")
    return None if sent is None else Graphs(server=sent.server, prefix=sent.prefix)


def _limits(reader: Reader, raw: object) -> Limits:
    limits = reader.section(Limits, raw, "limits")
    for index, proxy in enumerate(limits.trusted_proxies or ()):
        try:
            if proxy is not None and proxy != UNIX:
                ipaddress.ip_network(proxy)
        except ValueError:
            text = f"expected an address, or a network such as 10.0.0.0/8, got {shown(proxy)}"
            reader.report.mistake(f"limits.trusted_proxies[{index}]", text)
    return limits


def _check_sections(sections: Iterable[str], report: Report) -> None:
    for key in sections:
        if key in SECTIONS:
            report.warn(key, NOT_SERVED)
        elif key not in SERVED:
            report.mistake(key_shown(key), "unknown section" + nearest(key, SERVED))


def _check_listen(path: str, listen: str | None, report: Report) -> None:
    if listen is None:
        return  # a mistake that is reported already
    try:
        endpoint(listen)
    except ValueError as error:
        report.mistake(path, f"{error}, got {shown(listen)}")


def _check_redis(redis: Redis, raw: object, report: Report) -> None:
    """Report settings that contradict each other. ``raw`` is the section as it was given."""
    given = {plain(str(key)) for key, value in raw.items() if value is not None} if isinstance(raw, Mapping) else set()
    if "sentinels" not in given:
        for key in sorted(key for key in given if key.startswith("sentinel_")):
            report.mistake(f"redis.{key}", "means nothing without sentinels")
    if not redis.sentinels:
        return
    for key in INSTEAD_OF_SENTINELS:
        if key in given:
            report.mistake(f"redis.{key}", "sentinels are also given, and report where Redis is; keep one of them")
    for index, address in enumerate(redis.sentinels):
        if address is not None and not 0 < address_of(address, SENTINEL_PORT)[1] <= LARGEST_PORT:
            report.mistake(
                f"redis.sentinels[{index}]", f"expected a port from 1 to {LARGEST_PORT}, got {shown(address)}"
            )


def _pools(reader: Reader, raw: object, general: General) -> list[Pool]:
    if raw is not None and not isinstance(raw, list):
        reader.report.mistake("pools", f"expected a list, got {shown(raw)}")
        return []
    if not raw:
        reader.report.mistake("pools", "at least one must be given")
        return []
    pools = [reader.section(Pool, entry, f"pools[{index}]", general) for index, entry in enumerate(raw)]
    first: dict[str, int] = {}
    for index, pool in enumerate(pools):
        if pool.name is not None and first.setdefault(pool.name, index) != index:
            reader.report.mistake(f"pools[{index}].name", f"pools[{first[pool.name]}] has that name already")
        for name in sorted({pool.name, *(pool.alias or ())} & {*TAKEN}):
            reader.report.mistake(f"pools[{index}]", f"{shown(name)} means something else in replies, rename it")
    return pools


def _tagfilter(reader: Reader, raw: object) -> Mapping[str, re.Pattern[str]]:
    found = {}
    for tag, pattern in (reader.mapping(raw, "tagfilter") or {}).items():
        path = f"tagfilter.{key_shown(tag)}"
        if not isinstance(pattern, str):
            reader.report.mistake(path, f"expected a regular expression, got {shown(pattern)}")
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what Python warns of, such as [[:alpha:]], means another thing in Ruby
                found[tag] = re.compile(pattern)
        except (re.error, Warning, OverflowError, RecursionError) as error:
            text = f"not a regular expression of Python's (what only Ruby understands must be rewritten): {error}"
            reader.report.mistake(path, text)
    return found
