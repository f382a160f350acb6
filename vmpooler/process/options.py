"""The command line of ``twistd vmpooler``, and its result: settings, or an error that names the remedy."""

import os
from collections.abc import Mapping
from pathlib import Path

import attrs
from twisted.python import usage

from vmpooler import __version__
from vmpooler.config import Loaded, demo, endpoint, exposed, find, load
from vmpooler.domain.errors import ConfigError

ROLES = ("all", "api", "manager")

UP = 3
"""The file descriptor to which a process started by ``--workers`` writes when it answers clients."""

LOOPBACK = "127.0.0.1"


class Options(usage.Options):
    """The options of the command line."""

    synopsis = "[--config FILE | --demo] [options]"
    longdesc = "Keeps pools of virtual machines that are already running, and hands them out in one call."

    optParameters = [  # noqa: RUF012 - usage.Options declares it without ClassVar
        ["config", "c", None, "The configuration [default: ./vmpooler.yaml, $VMPOOLER_CONFIG_FILE, $VMPOOLER_CONFIG]"],
        ["role", "r", "all", "What this process does: all, api or manager"],
        ["port", "p", None, "The port that the API answers on, on all interfaces, with --demo on loopback (4567)"],
        ["listen", "l", None, "Where the API answers: ADDRESS:PORT, or any Twisted endpoint (ssl:..., unix:...)"],
        ["health-listen", None, None, "Where a manager answers /healthz and /readyz that does not answer the API"],
        ["workers", "w", "0", "Processes for the API beside this one, on one port; with 0 this one answers itself"],
        ["redis-socket", None, None, "The unix socket of the Redis to use, whatever the configuration says"],
        ["worker", None, None, "Which of the --workers this process is: they are started with it"],
    ]
    optFlags = [  # noqa: RUF012 - usage.Options declares it without ClassVar
        ["demo", None, "Simulated pools, a private Redis, on this machine only: nothing to set up"],
        ["share-port", None, "Let other processes listen on the same TCP port, if they say so too (SO_REUSEPORT)"],
        ["check-config", None, "Print every mistake in the configuration, or ok, and exit"],
    ]
    compData = usage.Completions(
        optActions={"config": usage.CompleteFiles("*.yaml"), "role": usage.CompleteList(list(ROLES))}
    )

    def opt_version(self) -> None:
        """Print the version of vmpooler and exit."""
        print(f"vmpooler {__version__}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Reject options that contradict each other or are malformed."""
        if self["role"] not in ROLES:
            raise usage.UsageError(f"--role: expected one of {', '.join(ROLES)}, got {self['role']!r}")
        if self["port"] is not None and self["listen"] is not None:
            raise usage.UsageError("--port and --listen say the same thing: give one of them")
        if self["demo"] and self["config"] is not None:
            raise usage.UsageError("--demo brings its own configuration: leave out --config")
        if self["port"] is not None and not self["port"].isdecimal():
            raise usage.UsageError(f"--port: expected a number, got {self['port']!r}")
        if not self["workers"].isdecimal():
            raise usage.UsageError(f"--workers: expected a number, got {self['workers']!r}")
        if self.workers and self["role"] == "manager":
            raise usage.UsageError("--workers answer the API, which --role manager does not: leave one of them out")
        if self["health-listen"] is not None and (
            self["role"] == "api" or (self["role"] == "all" and not self.workers)
        ):
            raise usage.UsageError("--health-listen: is for a manager whose process does not answer the API itself")
        _check_listen("--port/--listen", self.listen)
        _check_listen("--health-listen", self["health-listen"])

    @property
    def workers(self) -> int:
        """The number of processes that answer the API beside this one."""
        return int(self["workers"])

    @property
    def listen(self) -> str | None:
        """Where to listen, if the command line specifies it; else None."""
        text: str | None = self["port"] or self["listen"]
        return f"{LOOPBACK}:{text}" if self["demo"] and self["port"] else text


def _check_listen(option: str, listen: str | None) -> None:
    try:
        endpoint(listen or "0")
    except ValueError as error:
        raise usage.UsageError(f"{option}: {error}") from None


def configuration(options: Options, environ: Mapping[str, str], cwd: Path) -> tuple[Loaded, str]:
    """Return the configuration that the options ask for, and where it was found. Raises ConfigError."""
    source = demo(cwd) if options["demo"] else find(options["config"], environ, cwd)
    try:
        loaded = load(source.text, environ=environ, base=source.base)
    except ConfigError as error:
        raise ConfigError([f"{source.where}: {mistake}" for mistake in error.mistakes]) from None
    if loaded.secrets and source.file and (risk := exposed(source.file)):
        loaded = attrs.evolve(loaded, warnings=(*loaded.warnings, f"{', '.join(loaded.secrets)}: {risk}"))
    said = {"listen": options.listen, "health_listen": options["health-listen"]}
    given = {name: text for name, text in said.items() if text is not None}
    settings = attrs.evolve(loaded.settings, general=attrs.evolve(loaded.settings.general, **given))
    if options["redis-socket"] is not None:
        settings = attrs.evolve(settings, redis=attrs.evolve(settings.redis, socket=options["redis-socket"]))
    return attrs.evolve(loaded, settings=settings), source.where


def check(options: Options) -> int:
    """Print what is wrong with the configuration, or ok; return the exit code."""
    try:
        loaded, where = configuration(options, os.environ, Path.cwd())
    except ConfigError as error:
        print(error)
        return 1
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    print(f"{where}: ok")
    return 0
