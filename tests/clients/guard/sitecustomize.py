"""On the path of the real clients' processes: whatever is not loopback is refused, and the process says so."""

import ipaddress
import sys


def _is_loopback(host):
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _guard(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_loopback(host):
        print(f"REFUSED: {host} is not loopback", file=sys.stderr, flush=True)
        raise PermissionError(f"{host} is not loopback")


sys.addaudithook(_guard)
