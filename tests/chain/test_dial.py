"""From a URL to a socket: TLS with a CA of one's own, what is not trusted, and names with several addresses."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from chain_peers import GENESIS, Hang, peer, polite, tcp, until

from subnet.chain import dial as module
from subnet.chain.dial import address, dial
from subnet.chain.transport import Transport
from subnet.errors import ChainTimeout, ChainUnreachable

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="certificates are made with openssl")


class Authority:
    """A CA that exists for the time of the tests, and the certificate of localhost that it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ca = folder, folder / "ca.pem"
        new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
        self._openssl(*new, "-subj", "/CN=A CA for tests", "-keyout", "ca.key", "-out", "ca.pem")
        extensions = ("-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", *extensions)
        self._openssl(*new, "-subj", "/CN=localhost", *signed, "-keyout", "node.key", "-out", "node.pem")
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(folder / "node.pem", folder / "node.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@contextmanager
def handshaking(context: ssl.SSLContext) -> Iterator[int]:
    """A port where TLS is spoken until the handshake has failed, once. (asyncio's servers leave such sockets open.)"""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            raw, _ = server.accept()
            with raw, suppress(OSError):
                context.wrap_socket(raw, server_side=True).close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture
def opened() -> Iterator[Callable[[str], Transport]]:
    made: list[Transport] = []

    def make(url: str) -> Transport:
        made.append(Transport(url))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


async def call(transport: Transport, method: str = "chain_getBlockHash", seconds: float = 60.0) -> Any:
    def work() -> Any:
        transport.deadline = time.monotonic() + seconds
        if not transport.is_open:
            transport.open()
        return transport.calls([(method, [])])[0]

    return await asyncio.to_thread(work)


async def test_a_ca_of_one_s_own_is_trusted_by_ssl_cert_file(
    authority: Authority, opened: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    big = "0x" + "ab" * 3_000_000

    def script(method: str, params: list[Any]) -> Any:
        return big if method == "big" else polite(method, params)

    async with peer(script, authority.server) as node:
        transport = opened(node.url)
        assert await call(transport) == GENESIS
        assert await call(transport, "big") == big
        for number in range(3):  # in one TLS record, of which the kernel shows nothing after the first is read
            await node.push("chain_newHead", {"number": hex(number)})
        found = [await asyncio.to_thread(transport.notice, 60.0) for _ in range(3)]
        assert found == [{"number": hex(number)} for number in range(3)]
        assert await asyncio.to_thread(transport.notice, 0.0) is None
        assert node.connections == 1
        transport.close()
        await until(lambda: not node._open)


async def test_a_certificate_that_nobody_vouches_for(
    authority: Authority, opened: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with handshaking(authority.server) as port, pytest.raises(ChainUnreachable, match="is not trusted: ") as caught:
        await call(opened(f"wss://localhost:{port}"))
    assert "SSL_CERT_FILE" in caught.value.remedy


async def test_a_certificate_of_another_host(
    authority: Authority, opened: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    with handshaking(authority.server) as port, pytest.raises(ChainUnreachable, match=r"not trusted: .*127\.0\.0\.1"):
        await call(opened(f"wss://127.0.0.1:{port}"))


async def test_tls_and_none_are_not_mistaken_for_each_other(
    authority: Authority, opened: Callable[[str], Transport]
) -> None:
    async with peer(polite) as node:
        with pytest.raises(ChainUnreachable, match="does not speak TLS") as caught:
            await call(opened(node.url.replace("ws:", "wss:")))
        assert "ws://" in caught.value.remedy
    with handshaking(authority.server) as port, pytest.raises(ChainUnreachable):
        await call(opened(f"ws://127.0.0.1:{port}"))


async def test_a_tls_handshake_that_never_ends(opened: Callable[[str], Transport]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with tcp(silent) as url:
        with pytest.raises(ChainTimeout):
            await call(opened(url.replace("ws:", "wss:")), seconds=0.5)


async def test_a_hang_under_tls_ends_at_the_deadline(
    authority: Authority, opened: Callable[[str], Transport], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    held: list[str] = []

    def script(method: str, params: list[Any]) -> Any:
        if held:
            raise Hang
        return polite(method, params)

    async with peer(script, authority.server) as node:
        transport = opened(node.url)
        assert await call(transport) == GENESIS
        held.append("from now on")
        with pytest.raises(ChainTimeout):
            await call(transport, seconds=0.3)
        await until(lambda: not node._open)


# Addresses


def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))  # bound and not listening: it refuses
        ports = [dead.getsockname()[1], server.getsockname()[1]]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: found)
        connected = dial("ws://two.example", time.monotonic() + 60, 1000)
        assert connected._raw.getpeername()[1] == ports[1]
        assert connected._raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        connected.close()
        monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: found[:1])
        with pytest.raises(ChainUnreachable, match="refused"):
            dial("ws://one.example", time.monotonic() + 60, 1000)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300 + ".invalid", "\udcff"])
def test_a_name_that_nobody_knows(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        host.encode("idna")
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", unknown)
    with pytest.raises(ChainUnreachable, match="has no address"):
        dial(f"ws://{host}", time.monotonic() + 60, 1000)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("ws://a", ("a", 80, False)),
        ("wss://a/path?key=1", ("a", 443, True)),
        ("WSS://A:1", ("a", 1, True)),
        ("ws://[::1]:9944", ("::1", 9944, False)),
    ],
)
def test_addresses_in_urls(url: str, found: tuple[str, int, bool]) -> None:
    assert address(url) == found
