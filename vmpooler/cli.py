"""The ``vmpooler`` command: operator actions on a running service."""

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from vmpooler import __version__
from vmpooler.config import demo, find, load
from vmpooler.domain.errors import ConfigError, StartError, VmpoolerError
from vmpooler.process.remains import redis_of
from vmpooler.providers.driver import Command, Context
from vmpooler.providers.plugins import installed
from vmpooler.settings import Settings
from vmpooler.store.commands.registry import leftovers
from vmpooler.store.commands.vm_updates import confirm, unknown
from vmpooler.store.redis.client import Connection


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    asked = _parser().parse_args(argv)
    try:
        source = demo(Path.cwd()) if asked.demo else find(asked.config, os.environ, Path.cwd())
        settings = load(source.text, environ=os.environ, base=source.base).settings
    except ConfigError as error:
        sys.exit("\n".join(f"vmpooler: {mistake}" for mistake in error.mistakes))
    react(lambda reactor: Deferred.fromCoroutine(asked.command(reactor, settings, asked)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vmpooler",
        description="Work on a vmpooler that runs. The service itself is started by: twistd vmpooler",
    )
    parser.add_argument("--version", action="version", version=f"vmpooler {__version__}")
    sources = parser.add_mutually_exclusive_group()
    sources.add_argument(
        "--config", metavar="FILE", help="the service's configuration (default: as the service finds it)"
    )
    sources.add_argument("--demo", action="store_true", help="the configuration of twistd vmpooler --demo")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    confirming = commands.add_parser(
        "confirm",
        help="give up a pool's unknown VMs that the mass guard protects",
        description="When much of a pool's inventory is unknown at once, nothing unknown is destroyed: it may be in "
        "use, and Redis may have lost its data. This command lists those VMs, and with --yes gives them up.",
    )
    confirming.set_defaults(command=_confirm)
    confirming.add_argument("pool", metavar="POOL")
    confirming.add_argument("--yes", action="store_true", help="give up the VMs listed: they will be destroyed")
    for kind, driver in installed().usable().items():
        for command in driver.commands:
            added = commands.add_parser(command.name, help=command.help, description=command.description)
            added.set_defaults(command=partial(_at_provider, kind, command))
            command.arguments(added)
            added.add_argument("--provider", help=f"the entry of providers; needed where several are of class {kind}")
    return parser


async def _at_provider(
    kind: str, command: Command[Any], reactor: Any, settings: Settings, asked: argparse.Namespace
) -> None:
    """Run a command of a plug-in at the provider that is meant."""
    entries = {name: each for name, each in settings.providers.items() if each.kind == kind}
    names = [asked.provider] if asked.provider else list(entries)
    if len(names) != 1 or names[0] not in entries:
        sys.exit(f"vmpooler: --provider must be one of: {', '.join(entries) or f'(no entry is of class {kind})'}")
    chance = random.Random()  # noqa: S311 - no secret is made of it
    context = Context(general=settings.general, pools=(), reactor=reactor, wall=time.time, chance=chance)
    try:
        print(await command.run(entries[names[0]], context, asked))
    except VmpoolerError as error:
        sys.exit(f"vmpooler: {error}")


async def _confirm(reactor: Any, settings: Settings, asked: argparse.Namespace) -> None:
    pool, yes = asked.pool, asked.yes
    configured = pool in {each.name for each in settings.pools}
    try:
        names = await _given_up(Connection(redis_of(settings, reactor), reactor, quiet=True), pool, yes, configured)
    except VmpoolerError as error:
        sys.exit(f"vmpooler: {error}" if configured else f"vmpooler: no such pool: {pool}")
    print("\n".join(names) if names else f"{pool} has no unknown VMs")
    if names:
        print(f"{len(names)} VMs given up" if yes else f"{len(names)} VMs; to give them up: add --yes")


async def _given_up(connection: Connection, pool: str, yes: bool, configured: bool) -> list[str]:
    """Return the pool's unknown VMs, and give them up if ``yes``.

    Raises StartError for a pool that is neither configured nor drained.
    """
    connection.start()
    try:
        await connection.wait_ready(3)
        if not configured and pool not in {each.pool for each in (await leftovers(connection)).drained}:
            raise StartError(f"no such pool: {pool}")
        return await (confirm(connection, pool) if yes else unknown(connection, pool))
    finally:
        await connection.close()
