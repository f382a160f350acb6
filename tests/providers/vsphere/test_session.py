"""The connections of a login."""

import socket
from http.client import HTTPConnection

from vmpooler.providers.vsphere.session import Stub


def test_a_connection_whose_call_is_over_after_the_end_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        stub = Stub(host="127.0.0.1", port=-port, version="vim.version.version11")
        connection = HTTPConnection("127.0.0.1", port)
        connection.connect()
        stub.end()
        stub.ReturnConnection(connection)
        assert connection.sock is None
