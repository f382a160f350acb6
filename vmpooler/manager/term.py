"""What a leadership term gives to each of its pools."""

from collections.abc import Awaitable, Callable, Collection

import attrs
from twisted.internet.interfaces import IReactorTime

from vmpooler.deferreds import Slots
from vmpooler.domain.adaptive_limit import AdaptiveLimit
from vmpooler.domain.names import Choice
from vmpooler.settings import Settings
from vmpooler.store.commands.registry import Registry
from vmpooler.store.commands.tasks import Tasks
from vmpooler.store.commands.transitions import Queues
from vmpooler.store.redis.scripts import Commands


@attrs.frozen(kw_only=True)
class Term:
    """What all pools of one term share.

    ``ensure_leading`` is awaited before every order to a provider: it returns when this manager certainly leads, and
    raises NotLeading when it does not lead any more. ``clone_limit`` counts every clone. ``reads`` limits how many
    pools are read from Redis at once. ``pools`` returns the pools that exist. The others are called with the name of a
    pool after each of its operations (``operation_ended``) and after a round of a drained pool that found nothing
    (``emptied``), and with the name of a provider after a failed check of one of its guests (``unsure``), so that
    others are checked too.
    """

    settings: Settings
    store: Commands
    queues: Queues
    requests: Tasks
    registry: Registry
    clock: IReactorTime
    wall: Callable[[], float]
    choice: Choice
    ensure_leading: Callable[[], Awaitable[None]]
    clone_limit: AdaptiveLimit
    reads: Slots
    pools: Callable[[], Collection[str]]
    operation_ended: Callable[[str], None]
    emptied: Callable[[str], Awaitable[None]]
    unsure: Callable[[str], None]
