"""Hand-made SCALE decoding: round trips against scalecodec's encoder, and refusal of everything else."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.chain import decode
from subnet.errors import ChainMalformed
from subnet.types import AxonInfo, Certificate

u16s = st.integers(0, 2**16 - 1)


def scale(type_string: str, value: Any) -> bytes:
    from scalecodec.base import RuntimeConfigurationObject
    from scalecodec.type_registry import load_type_registry_preset

    config = RuntimeConfigurationObject()
    config.update_type_registry(load_type_registry_preset("core"))
    return bytes(config.create_scale_object(type_string).encode(value).data)


def compact(value: int) -> bytes:
    if value < 1 << 6:
        return bytes([value << 2])
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    return (value << 2 | 2).to_bytes(4, "little")


@pytest.mark.parametrize("value", [0, 1, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**53, 2**64 - 1])
def test_compact_agrees_with_scalecodec(value: int) -> None:
    data = scale("Compact<u64>", value)
    assert decode.compact(data + b"rest") == (value, len(data))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=100), st.integers(0, 20))
def test_a_column_of_u64_round_trips_and_pads_with_zeros(values: list[int], more: int) -> None:
    data = compact(len(values)) + b"".join(value.to_bytes(8, "little") for value in values)
    found = decode.column(data, np.uint64, len(values) + more)
    assert found.tolist() == values + [0] * more
    assert found.dtype == np.uint64


@given(st.lists(st.tuples(u16s, u16s), max_size=100))
def test_weights_round_trip(rows: list[tuple[int, int]]) -> None:
    data = compact(len(rows)) + b"".join(uid.to_bytes(2, "little") + value.to_bytes(2, "little") for uid, value in rows)
    assert decode.pairs(data) == rows


def test_columns_agree_with_scalecodec() -> None:
    assert decode.column(scale("Vec<u16>", [0, 1, 65535]), np.uint16, 3).tolist() == [0, 1, 65535]
    assert decode.column(scale("Vec<bool>", [True, False]), np.bool_, 2).tolist() == [True, False]
    assert decode.pairs(scale("Vec<(u16, u16)>", [(1, 2), (3, 65535)])) == [(1, 2), (3, 65535)]


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoders(data: bytes) -> None:
    for decoder in (
        lambda: decode.column(data, np.uint16, 8),
        lambda: decode.column(data, np.bool_, 8),
        lambda: decode.pairs(data),
        lambda: decode.axon(data),
        lambda: decode.prometheus(data),
        lambda: decode.certificate(data),
        lambda: decode.sequence(data, "V32"),
        lambda: decode.account(data),
        lambda: decode.unsigned(data, 8),
        lambda: decode.compact(data),
    ):
        try:
            decoder()
        except ChainMalformed:
            continue


def test_a_vector_that_claims_a_billion_elements_costs_nothing() -> None:
    with pytest.raises(ChainMalformed, match="1073741823 elements"):
        decode.column((0xFFFFFFFE).to_bytes(4, "little"), np.uint64, 4)


def test_a_vector_longer_than_the_subnet_is_malformed() -> None:
    with pytest.raises(ChainMalformed, match="3 elements on a subnet of 2"):
        decode.column(scale("Vec<u16>", [1, 2, 3]), np.uint16, 2)


def test_absent_values_read_as_nothing() -> None:
    assert decode.unsigned(None, 8) == 0
    assert decode.column(None, np.uint16, 2).tolist() == [0, 0]
    assert decode.pairs(None) == []
    assert decode.account(None) == bytes(32)
    assert decode.axon(None) is None


def axon_bytes(ip: int, port: int, ip_type: int) -> bytes:
    return (
        (7).to_bytes(8, "little")
        + (3).to_bytes(4, "little")
        + ip.to_bytes(16, "little")
        + port.to_bytes(2, "little")
        + bytes([ip_type, 4, 0, 0])
    )


@pytest.mark.parametrize("text", ["127.0.0.1", "203.0.113.9", "2001:db8::1"])
def test_axons_of_both_families(text: str) -> None:
    address = ipaddress.ip_address(text)
    found = decode.axon(axon_bytes(int(address), 8091, address.version))
    assert found == AxonInfo(text, 8091, address.version, protocol=4, version=3, block=7)


@pytest.mark.parametrize(
    ("ip", "port", "ip_type"),
    [(0, 8091, 4), (1, 0, 4), (1 << 40, 80, 4), (1, 80, 0), (1, 80, 5)],
    ids=["no address", "no port", "IPv6 called IPv4", "no family", "unknown family"],
)
def test_an_address_that_nobody_can_call_is_no_axon(ip: int, port: int, ip_type: int) -> None:
    assert decode.axon(axon_bytes(ip, port, ip_type)) is None
    assert decode.prometheus(axon_bytes(ip, port, ip_type)[:-3]) is None


def test_certificates() -> None:
    assert decode.certificate(compact(3) + b"abc" + b"\4") == Certificate(b"abc", 4)
    assert decode.certificate(None) is None
    assert decode.prometheus(None) is None
