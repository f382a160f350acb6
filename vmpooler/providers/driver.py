"""What a plug-in of a provider consists of: one :class:`ProviderDriver`.

The package of the plug-in names it by an entry point of the group ``vmpooler.providers``. The name of the entry point
is the class of the provider (``provider_class``). CONTRIBUTING.md has an example.
"""

from __future__ import annotations

import random
from argparse import ArgumentParser, Namespace
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs

from vmpooler.providers.base import Provider
from vmpooler.settings import General, Pool, ProviderSettings

S = TypeVar("S", bound=ProviderSettings)

MayOrder = Callable[[], bool]

Wall = Callable[[], float]
"""Returns the current time, in seconds since the epoch."""


@attrs.frozen(kw_only=True)
class Context:
    """What a provider uses, beside its settings.

    ``pools`` are the pools that it serves, ``general`` is the section ``config``. ``reactor`` is the real one. The
    provider sends no order (a call that changes something) while ``may_order`` returns False: another manager may lead.
    """

    general: General
    pools: Sequence[Pool]
    reactor: Any
    wall: Wall
    chance: random.Random
    may_order: MayOrder = lambda: True


@attrs.frozen(kw_only=True)
class Command(Generic[S]):
    """A command of the program ``vmpooler`` that does something at one provider.

    ``arguments`` adds its arguments to the parser; the service adds ``--provider``. ``run`` returns what is printed,
    and raises VmpoolerError.
    """

    name: str
    help: str
    description: str
    arguments: Callable[[ArgumentParser], object]
    run: Callable[[S, Context, Namespace], Awaitable[str]]


def nothing_to_check(pool: Pool) -> Mapping[str, str]:
    """Return no mistake."""
    return {}


@attrs.frozen(kw_only=True)
class ProviderDriver(Generic[S]):
    """A class of providers.

    ``settings`` is the class of its entries in ``providers``. ``build`` returns a provider that is not started. It is
    called for each term of a leader. It imports what is slow to import, so that the module of the driver is not.

    ``check_pool`` returns what is wrong with the settings of a pool on such a provider, by the name of the setting. In
    the pool, a setting whose mistake is reported already is None. It is called when the configuration is loaded, and by
    ``--check-config``; it must not use the network.

    ``implied``: a pool can name the provider without an entry in ``providers``, and a pool that names none is on it
    only if no other provider is configured. ``ignored`` are settings of Ruby vmpooler that have no effect here; each is
    a warning.
    """

    settings: type[S]
    build: Callable[[S, Context], Provider]
    check_pool: Callable[[Pool], Mapping[str, str]] = nothing_to_check
    implied: bool = False
    ignored: frozenset[str] = frozenset()
    commands: tuple[Command[S], ...] = ()
