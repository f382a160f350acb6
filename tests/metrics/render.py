"""A server that imitates Graphite's ``/render``; the real one is a Django site."""

import json
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import Site

from vmpooler.metrics.charts import Charts
from vmpooler.settings import Graphs

SERIES = [{"target": "lab.ready.debian", "tags": {}, "datapoints": [[4.0, 60], [None, 120]]}]
Answering = Callable[[Request], Any]


class Render(Resource):
    """Answers at ``/render`` with the result of ``answering``, which tests may replace."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[bytes, list[bytes]]] = []
        self.answering: Answering = lambda request: json.dumps(SERIES).encode()
        site = Site(self)
        site.noisy = False
        listener: Any = reactor
        self._listening = listener.listenTCP(0, site, interface="127.0.0.1")
        self.port = self._listening.getHost().port

    def render_GET(self, request: Request) -> Any:
        assert request.path == b"/render"
        self.asked.append(request.args)
        return self.answering(request)

    def charts(self, clock: Any = reactor) -> Charts:
        return Charts(Graphs(server=f"127.0.0.1:{self.port}", prefix="lab"), ["debian", "ubuntu-22.04"], clock)

    async def end(self) -> None:
        await self._listening.stopListening()
