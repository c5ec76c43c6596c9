"""Token buckets: a rate, a burst, a bounded number of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.admission import Buckets, Limits, address_key
from subnet.errors import ConfigError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_burst_then_rate() -> None:
    clock = Clock()
    buckets = Buckets(2.0, 3, clock=clock)
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take("b") == 0.0
    clock.now = 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == 0.5


def test_what_is_given_back_counts_again() -> None:
    buckets = Buckets(0.001, 1, clock=Clock())
    assert buckets.take("a") == 0.0
    buckets.give_back("a")
    buckets.give_back("a")
    assert buckets.take("a") == 0.0
    assert buckets.take("a") > 0


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 3)), max_size=100))
def test_never_more_than_burst_plus_rate_times_time(events: list[tuple[int, float]]) -> None:
    clock = Clock()
    buckets = Buckets(1.5, 4, clock=clock)
    granted: dict[int, int] = {}
    for key, pause in events:
        clock.now += pause
        granted[key] = granted.get(key, 0) + (buckets.take(str(key)) == 0.0)
    assert all(count <= 4 + 1.5 * clock.now + 1e-9 for count in granted.values())


def test_the_number_of_keys_is_bounded() -> None:
    buckets = Buckets(1.0, 1, max_keys=10)
    for i in range(1000):
        buckets.take(str(i))
    assert len(buckets) == 10


@pytest.mark.parametrize(
    ("remote", "key"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("unix", "unix"),
    ],
)
def test_an_ipv6_host_is_its_64(remote: str, key: str) -> None:
    assert address_key(remote) == key


def test_limits_are_above_zero() -> None:
    with pytest.raises(ConfigError, match="running"):
        Limits(running=0)
    assert Limits(queue=0).queue == 0
