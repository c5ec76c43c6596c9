from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from subnet.errors import ConfigError
from subnet.miners import public_address as under_test
from subnet.miners.public_address import public_address


@pytest.fixture
def url() -> Iterator[str]:
    """A service that answers with what it is asked for: /203.0.113.7 with 203.0.113.7."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path == "/moved"
            self.send_response(302 if moved else 200)
            self.send_header("Location", "/8.8.8.8")
            self.end_headers()
            self.wfile.write(self.path[1:].encode() + b"\n")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_left_as_it_is() -> None:
    assert public_address("203.0.113.7") == "203.0.113.7"
    assert public_address("2001:db8::1") == "2001:db8::1"


@pytest.mark.skipif(not hasattr(socket, "AF_PACKET"), reason="Linux only")
def test_an_interface_is_asked_for_its_address() -> None:
    assert public_address("auto:lo") == "127.0.0.1"
    for wrong in ("auto:nosuch0", "auto:", "auto:" + "x" * 40):
        with pytest.raises(ConfigError, match="interface"):
            public_address(wrong)


def test_a_url_says_the_address(url: str) -> None:
    assert public_address(f"auto:{url}/8.8.4.4") == "8.8.4.4"
    assert public_address(f"auto:{url}/2606:4700::1") == "2606:4700::1"
    for wrong in (f"{url}/nonsense", f"{url}/{'9' * 500}", f"{url}/moved", f"{url}/%ff", "http://127.0.0.1:1/"):
        with pytest.raises(ConfigError, match="auto"):
            public_address(f"auto:{wrong}")
    with pytest.raises(ConfigError, match="plain http"):
        public_address("auto:http://203.0.113.7/ip")
    with pytest.raises(ConfigError, match="plain http"):
        public_address("auto:file:///etc/hostname")


def test_the_default_route_counts_only_where_its_address_is_global(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "_routed", lambda: "192.168.0.3")
    with pytest.raises(ConfigError, match="can't be reached") as caught:
        public_address("auto")
    assert "auto:https" in caught.value.remedy
    monkeypatch.setattr(under_test, "_routed", lambda: "8.8.8.8")
    assert public_address("auto") == "8.8.8.8"
