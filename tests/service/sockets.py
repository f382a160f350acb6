"""Lists the TCP sockets that a process listens on."""

import psutil


def listening(pid: int) -> set[tuple[str, int]]:
    """Return the addresses and ports that a process listens on, over TCP."""
    sockets = psutil.Process(pid).net_connections(kind="tcp")
    return {(each.laddr.ip, each.laddr.port) for each in sockets if each.status == psutil.CONN_LISTEN}
