"""Refuses every connection to another machine; read by the tests and, through PYTHONPATH, by what they start."""

import sys

LOCAL = ("", "localhost", "127.0.0.1", "::1")


def refuse(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook; it costs nothing until a socket is used."""
    if event == "socket.connect":
        address = arguments[1]  # a path for sockets of this machine, else (host, port, …)
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in LOCAL or name.startswith("127."):
        return
    import socket

    if event == "socket.getaddrinfo" and name == socket.gethostname():
        return
    raise socket.gaierror(socket.EAI_NONAME, f"tests have no network; {name} was asked for")


sys.addaudithook(refuse)
