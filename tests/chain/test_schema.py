"""Our metadata parser and value codec against scalecodec's, and against bytes that are nothing."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.base import ScaleBytes

from subnet.chain import values
from subnet.chain.schema import PRIMITIVES, Field, Schema, Type, Variant, parse
from subnet.devnet.runtime import runtime
from subnet.errors import ChainMalformed


@lru_cache(1)
def metadata() -> bytes:
    return runtime().metadata


@lru_cache(1)
def schema() -> Schema:
    return parse(metadata())


@lru_cache(1)
def composer() -> Any:
    from subnet.chain.substrate import Composer

    version = {"specVersion": 1, "transactionVersion": 1}
    return Composer(None, "0x" + metadata().hex(), version, "0x" + "00" * 32)  # type: ignore[arg-type]


# The metadata


def test_pallets_items_and_constants_are_scalecodec_s() -> None:
    theirs = composer().metadata
    for ours in schema().pallets:
        pallet = theirs.get_metadata_pallet(ours.name)
        assert pallet.value["index"] == ours.index
        items = pallet.value["storage"]["entries"] if pallet.value["storage"] else []
        assert [item.name for item in ours.items] == [item["name"] for item in items]
        for item in ours.items:
            entry = pallet.get_storage_function(item.name)
            plain = "Plain" in entry.value["type"]
            assert item.hashers == ([] if plain else entry.get_param_hashers())
            assert f"scale_info::{item.value}" == entry.get_value_type_string()
            assert [f"scale_info::{key}" for key in item.keys] == entry.get_params_type_string()
            default = bytes(entry.value_object["default"].value_object)
            assert item.default == (None if entry.value["modifier"] == "Optional" else default)
        assert [one.name for one in ours.constants] == [one.value["name"] for one in pallet.constants or ()]


def test_calls_errors_and_their_words_are_scalecodec_s() -> None:
    for ours in schema().pallets:
        pallet = composer().metadata.get_metadata_pallet(ours.name)
        calls = schema().type(ours.calls).variants if ours.calls is not None else []
        assert [(one.name, [field.name for field in one.fields]) for one in calls] == [
            (call.name, [argument.name for argument in call.args]) for call in pallet.calls or ()
        ]
        errors = schema().type(ours.errors).variants if ours.errors is not None else []
        assert [(one.name, one.index, one.docs) for one in errors] == [
            (error.name, error.value["index"], " ".join(error.docs)) for error in pallet.errors or ()
        ]


def test_a_schema_survives_msgpack() -> None:
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(schema()), type=Schema) == schema()


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_crash_the_parser(data: bytes, magic: bool) -> None:
    with pytest.raises(ChainMalformed):
        parse(b"meta\x0e" + data + b"\xff" if magic else data)


@given(st.integers(0, 10**9), st.integers(1, 255), st.integers(0, 10**9))
def test_no_damage_crashes_the_parser(at: int, flip: int, cut: int) -> None:
    """A bit here, an end there: the schema may be another, but nothing else comes out."""
    data = bytearray(metadata())
    data[at % len(data)] ^= flip
    for damaged in (bytes(data), metadata()[: cut % len(metadata())]):
        try:
            parse(damaged)
        except ChainMalformed:
            continue


# Values


@lru_cache(1)
def value_types() -> list[int]:
    items = [item for pallet in schema().pallets for item in pallet.items]
    return sorted({number for item in items for number in (item.value, *item.keys)})


_INTEGERS = {name: int(name[1:]) // 8 for name in PRIMITIVES if name[1:].isdecimal()}


def each(*parts: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.tuples(*parts).map(b"".join)


@lru_cache(None)
def valid(number: int) -> st.SearchStrategy[bytes]:
    """The bytes of values of a type."""
    kind = schema().type(number)
    match kind.kind:
        case "primitive" if kind.name in _INTEGERS:
            return st.binary(min_size=_INTEGERS[kind.name], max_size=_INTEGERS[kind.name])
        case "primitive" if kind.name == "bool":
            return st.sampled_from([b"\0", b"\1"])
        case "primitive":
            return st.text(max_size=9).map(lambda text: values.compact_bytes(len(text.encode())) + text.encode())
        case "struct":
            return each(*(valid(field.type) for field in kind.fields))
        case "tuple":
            return each(*map(valid, kind.inner))
        case "enum":
            arms = [each(st.just(bytes([arm.index])), *(valid(f.type) for f in arm.fields)) for arm in kind.variants]
            return st.one_of(arms)
        case "compact":
            return st.integers(0, 2**32 - 1).map(values.compact_bytes)
        case "array":
            return each(*[valid(kind.inner[0])] * kind.length)
    assert kind.kind == "list"
    return st.lists(valid(kind.inner[0]), max_size=3).map(
        lambda parts: values.compact_bytes(len(parts)) + b"".join(parts)
    )


@pytest.mark.parametrize("number", value_types())
@settings(max_examples=6)
@given(data=st.data())
def test_values_decode_as_scalecodec_does_and_encode_to_the_same_bytes(number: int, data: st.DataObject) -> None:
    blob = data.draw(valid(number))
    ours = values.decode(schema(), number, blob)
    scale = composer().runtime_config.create_scale_object
    theirs = scale(f"scale_info::{number}", ScaleBytes(blob), metadata=composer().metadata).decode()
    if number != events():  # they have a shape of their own in scalecodec
        assert ours == theirs
    assert values.encode(schema(), number, values.decode(schema(), number, blob, raw=True)) == blob


def events() -> int:
    system = schema().pallet("System")
    assert system is not None
    return next(item.value for item in system.items if item.name == "Events")


def test_the_defaults_of_all_items_are_values_of_theirs() -> None:
    for pallet in schema().pallets:
        for item in pallet.items:
            if item.default is not None:
                value = values.decode(schema(), item.value, item.default, raw=True)
                assert values.encode(schema(), item.value, value) == item.default


@given(st.data())
def test_no_bytes_crash_a_value_s_decoder(data: st.DataObject) -> None:
    number = data.draw(st.sampled_from(value_types()))
    blob = data.draw(st.binary(max_size=80))
    try:
        values.decode(schema(), number, blob)
    except ChainMalformed:
        return


@given(st.sampled_from([0, 1, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**64, 2**536 - 1]) | st.integers(0, 2**80))
def test_compact_integers_round_trip(value: int) -> None:
    data = values.compact_bytes(value)
    assert values.Cursor(data).compact() == value


def lying(*kinds: Type) -> Schema:
    return Schema(dict(enumerate(kinds)), [])


U8 = Type("primitive", name="u8")


@pytest.mark.parametrize(
    ("types", "blob"),
    [
        (lying(Type("list", inner=[1]), Type("tuple")), b"\xfe\xff\xff\xff"),
        (lying(Type("array", inner=[1], length=2**31), Type("tuple")), b""),
        (lying(Type("array", inner=[1], length=2**31), U8), b"1234"),
        (lying(*(Type("tuple", inner=[i + 1, i + 1]) for i in range(60)), Type("tuple")), b""),
        (lying(Type("struct", fields=[Field(None, 0)])), b"\0" * 100),
        (lying(Type("list", inner=[0])), b"\x04" * 200),
        (lying(Type("enum", variants=[Variant("A", 3, [])])), b"\0"),
        (lying(Type("tuple", inner=[7])), b""),
        (lying(Type("bits")), b"\x04\x01"),
        (lying(Type("primitive", name="char")), b"\xff" * 4),
        (lying(Type("primitive", name="char")), b"\x00\xd8\x00\x00"),
        (lying(Type("primitive", name="bool")), b"\x02"),
        (lying(Type("primitive", name="str")), b"\x04\xff"),
        (lying(U8), b"\1\2"),
        (lying(Type("list", inner=[1]), U8), b"\x03\xff\xff\xff\xff"),
    ],
    ids=[
        "2**30 units",
        "2**31 units",
        "2**31 bytes",
        "2**60 values of no bytes",
        "a type within itself",
        "nested without end",
        "unknown variant",
        "unknown type",
        "bits",
        "no character",
        "a surrogate",
        "a bool of 2",
        "no UTF-8",
        "bytes left",
        "2**32 bytes",
    ],
)
def test_types_and_values_that_lie(types: Schema, blob: bytes) -> None:
    with pytest.raises(ChainMalformed):
        values.decode(types, 0, blob)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (U8, 256),
        (U8, -1),
        (U8, "1"),
        (U8, True),
        (U8, 1.0),
        (Type("primitive", name="bool"), 1),
        (Type("struct", "AccountId32"), "5Grw"),
        (Type("struct", "AccountId32"), "0x00"),
        (Type("struct", fields=[Field("a", 1)]), {"b": 1}),
        (Type("tuple", inner=[1, 1]), (1,)),
        (Type("array", inner=[1], length=2), b"1"),
        (Type("list", inner=[1]), 5),
        (Type("enum", variants=[Variant("A", 0, [])]), "B"),
        (Type("compact", inner=[1]), -1),
        (Type("bits"), "0b1"),
    ],
)
def test_values_that_are_not_of_their_type(kind: Type, value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any words will do
        values.encode(lying(kind, U8), 0, value)
