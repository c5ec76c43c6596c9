"""Forked workers: counts that can't be, ports that are taken. What they do together is in e2e/test_workers.py."""

from __future__ import annotations

import socket

import pytest

from subnet.errors import ConfigError
from subnet.prefork import MAX_WORKERS, fork_workers, reserve_port


@pytest.mark.parametrize("count", [0, -1, MAX_WORKERS + 1])
def test_a_count_that_can_t_be(count: int) -> None:
    with pytest.raises(ConfigError, match="workers"):
        fork_workers(count)


def test_a_reserved_port_is_for_those_who_share_it() -> None:
    with reserve_port("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(ConfigError, match="can't listen"):
            reserve_port("127.0.0.1", port)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        with socket.socket() as worker:
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind(("127.0.0.1", port))


def test_a_port_that_another_program_serves_is_not_reserved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(ConfigError, match="can't listen"):
        reserve_port("127.0.0.1", other.getsockname()[1])
