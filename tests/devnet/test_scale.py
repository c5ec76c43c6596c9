"""SCALE: what we encode scalecodec reads, what it encodes we read, and garbage is refused, never believed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scalecodec.base import RuntimeConfigurationObject, ScaleBytes
from scalecodec.type_registry import load_type_registry_preset

from subnet.devnet import scale as s
from subnet.devnet.pallets.utility import RUNTIME_CALL
from subnet.devnet.runtime import runtime
from subnet.devnet.shapes import DISPATCH_ERROR

CONFIG = RuntimeConfigurationObject()
CONFIG.update_type_registry(load_type_registry_preset("core"))

PAIRS = s.Vec(s.Tuple(s.U16, s.U16))
CASES: list[tuple[str, s.Scale[Any], st.SearchStrategy[Any]]] = [
    ("u8", s.U8, st.integers(0, 2**8 - 1)),
    ("u16", s.U16, st.integers(0, 2**16 - 1)),
    ("u64", s.U64, st.integers(0, 2**64 - 1)),
    ("u128", s.U128, st.integers(0, 2**128 - 1)),
    ("i16", s.I16, st.integers(-(2**15), 2**15 - 1)),
    ("i64", s.I64, st.integers(-(2**63), 2**63 - 1)),
    ("bool", s.BOOL, st.booleans()),
    ("Compact<u32>", s.Compact(s.U32), st.integers(0, 2**32 - 1)),
    ("Compact<u128>", s.Compact(s.U128), st.integers(0, 2**128 - 1)),
    ("Vec<u16>", s.Vec(s.U16), st.lists(st.integers(0, 65535), max_size=300)),
    ("Vec<bool>", s.Vec(s.BOOL), st.lists(st.booleans(), max_size=70)),
    ("Vec<(u16, u16)>", PAIRS, st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=70)),
    ("Option<u64>", s.Option(s.U64), st.none() | st.integers(0, 2**64 - 1)),
]


@pytest.mark.parametrize(("name", "ours", "values"), CASES, ids=[case[0] for case in CASES])
def test_both_ways_with_scalecodec(name: str, ours: s.Scale[Any], values: st.SearchStrategy[Any]) -> None:
    @given(values)
    def check(value: Any) -> None:
        encoded = ours.encode(value)
        theirs = CONFIG.create_scale_object(name)
        assert bytes(theirs.encode(value).data) == encoded
        decoded = CONFIG.create_scale_object(name, ScaleBytes(encoded)).decode()
        assert decoded == value
        assert ours.decode(encoded) == value

    check()


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32)), max_size=9))
def test_pairs_that_end_in_bytes_stay_pairs(value: list[tuple[int, bytes]]) -> None:
    scale = s.Vec(s.Tuple(s.U64, s.ACCOUNT))
    assert scale.decode(scale.encode(value)) == value


@given(st.binary(max_size=200))
def test_garbage_is_a_scale_error(data: bytes) -> None:
    runtime()
    for scale in (RUNTIME_CALL, PAIRS, s.MULTI_ADDRESS, DISPATCH_ERROR, s.Compact(s.U16), s.BYTES):
        try:
            value = scale.decode(data)
        except s.ScaleError:
            continue
        assert scale.decode(scale.encode(value)) == value  # what was accepted has one meaning


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(s.compact(2**30 - 1), id="a billion elements, no bytes"),
        pytest.param(b"\xff" + b"\xff" * 66, id="an integer of 67 bytes"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_an_announced_length_takes_no_memory(data: bytes) -> None:
    with pytest.raises(s.ScaleError):
        s.Vec(s.U16).decode(data)


def test_calls_within_calls_are_bounded() -> None:
    chain = runtime()
    call = chain.call("System", "remark", remark=b"")
    for _ in range(s.MAX_DEPTH + 1):
        call = chain.call("Utility", "batch", calls=[call])
    with pytest.raises(s.ScaleError, match="deep"):
        RUNTIME_CALL.decode(call.raw)


def test_values_that_do_not_fit_are_refused() -> None:
    for scale, value in ((s.U8, 256), (s.U16, -1), (s.ACCOUNT, b"short"), (s.Vec(s.U16), [70000])):
        with pytest.raises(s.ScaleError):
            scale.encode(value)  # type: ignore[arg-type]


def test_bytes_after_the_value_are_refused() -> None:
    with pytest.raises(s.ScaleError, match="too many"):
        s.U16.decode(b"\1\0\0")
