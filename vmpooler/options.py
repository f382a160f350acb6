"""The command line of ``twistd vmpooler``, and what it stands for: settings, or an error that says what to do."""

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import attrs
from twisted.python import usage

from vmpooler import __version__
from vmpooler.config import Loaded, Source, endpoint, find, load
from vmpooler.domain.errors import ConfigError

ROLES = ("all", "api", "manager")

LOOPBACK = "127.0.0.1"


class Options(usage.Options):
    """What can be said on the command line."""

    synopsis = "[--config FILE | --demo] [options]"
    longdesc = "Keeps pools of virtual machines that are already running, and hands them out in one call."

    optParameters = [  # noqa: RUF012 - twisted.python.usage reads it so
        ["config", "c", None, "The configuration [default: ./vmpooler.yaml, $VMPOOLER_CONFIG_FILE, $VMPOOLER_CONFIG]"],
        ["role", "r", "all", "What this process does: all, api or manager"],
        ["port", "p", None, "The port that the API answers on, on all interfaces, with --demo on loopback (4567)"],
        ["listen", "l", None, "Where the API answers: ADDRESS:PORT, or any Twisted endpoint (ssl:..., unix:...)"],
        ["health-listen", None, None, "Where a process of role manager answers /healthz and /readyz"],
    ]
    optFlags = [  # noqa: RUF012 - the same
        ["demo", None, "Simulated pools, a private Redis, on this machine only: nothing to set up"],
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
        """Refuse what makes no sense together."""
        if self["role"] not in ROLES:
            raise usage.UsageError(f"--role: expected one of {', '.join(ROLES)}, got {self['role']!r}")
        if self["port"] is not None and self["listen"] is not None:
            raise usage.UsageError("--port and --listen say the same thing: give one of them")
        if self["demo"] and self["config"] is not None:
            raise usage.UsageError("--demo brings its own configuration: leave out --config")
        if self["port"] is not None and not self["port"].isdecimal():
            raise usage.UsageError(f"--port: expected a number, got {self['port']!r}")
        if self["health-listen"] is not None and self["role"] != "manager":
            raise usage.UsageError(f"--health-listen: with --role {self['role']} the API's port answers that")
        for option, listen in (("--port/--listen", self.listen), ("--health-listen", self["health-listen"])):
            try:
                endpoint(listen or "0")
            except ValueError as error:
                raise usage.UsageError(f"{option}: {error}") from None

    @property
    def listen(self) -> str | None:
        """Where to listen, if the command line says so."""
        text: str | None = self["port"] or self["listen"]
        return f"{LOOPBACK}:{text}" if self["demo"] and self["port"] else text


def configuration(options: Options, environ: Mapping[str, str], cwd: Path) -> tuple[Loaded, str]:
    """The configuration that the options ask for, and where it stood. Raises ConfigError."""
    source = _demo(cwd) if options["demo"] else find(options["config"], environ, cwd)
    try:
        loaded = load(source.text, environ=environ, base=source.base)
    except ConfigError as error:
        raise ConfigError([f"{source.where}: {mistake}" for mistake in error.mistakes]) from None
    said = {"listen": options.listen, "health_listen": options["health-listen"]}
    general = attrs.evolve(loaded.settings.general, **{name: text for name, text in said.items() if text is not None})
    return attrs.evolve(loaded, settings=attrs.evolve(loaded.settings, general=general)), source.where


def _demo(cwd: Path) -> Source:
    text = files("vmpooler").joinpath("demo.yaml").read_text(encoding="utf-8")
    return Source(text, "the demo's configuration", cwd)


def check(options: Options) -> int:
    """Print what is wrong with the configuration, or ok; the exit code."""
    try:
        loaded, where = configuration(options, os.environ, Path.cwd())
    except ConfigError as error:
        print(error)
        return 1
    for warning in loaded.warnings:
        print(f"warning: {warning}")
    print(f"{where}: ok")
    return 0
