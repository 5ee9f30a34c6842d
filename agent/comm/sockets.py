"""Sockets bound to this node's address on a comm path, whether or not the address is there yet."""

from __future__ import annotations

import contextlib
import socket
from ipaddress import IPv4Address, IPv6Address

Address = IPv4Address | IPv6Address

_IP_FREEBIND = 15  # linux/in.h; Python has no name for it
_IPV6_FREEBIND = 78  # linux/in6.h
_RECEIVE_BUFFER_BYTES = 1 << 20  # the kernel grants at most net.core.rmem_max
_BACKLOG = 16


def udp(local: Address, port: int) -> socket.socket:
    """A non-blocking UDP socket on that address, for sending and for whatever strangers send."""
    return _bound(socket.SOCK_DGRAM, local, port)


def udp_from(local: Address, remote: Address, port: int) -> socket.socket | None:
    """A socket beside that one to which the kernel gives what that peer sends, and nothing else.

    A stranger's flood then fills the other one's buffer and not this one's. None when there is no route
    to the peer yet: what it sends arrives at the other one.
    """
    sock = _bound(socket.SOCK_DGRAM, local, port)
    try:
        sock.connect((str(remote), port))
    except OSError:
        sock.close()
        return None
    return sock


def listener(local: Address, port: int) -> socket.socket:
    """A non-blocking TCP socket that accepts on that address; OSError if another program has the port."""
    sock = _bound(socket.SOCK_STREAM, local, port)
    sock.listen(_BACKLOG)
    return sock


def outgoing(local: Address) -> socket.socket:
    """A non-blocking TCP socket that will connect from that address, so that it takes that comm path."""
    return _bound(socket.SOCK_STREAM, local, 0)


def is_local(address: Address) -> bool:
    """Whether this machine has the address now. The other sockets here don't ask: it may come later."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((str(address), 0))
        except OSError:
            return False
    return True


def _bound(kind: socket.SocketKind, local: Address, port: int) -> socket.socket:
    family = socket.AF_INET if local.version == 4 else socket.AF_INET6
    with contextlib.ExitStack() as undo:
        sock = undo.enter_context(socket.socket(family, kind))
        sock.setblocking(False)
        if local.version == 4:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # a restart must not wait for TIME_WAIT
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # several of this user's on one port
        try:
            sock.bind((str(local), port))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{local} port {port}") from error
        undo.pop_all()
        return sock
