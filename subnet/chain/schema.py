"""What a runtime's metadata says that a client needs: types, storage items, calls, errors, constants.

:func:`parse` takes metadata V14 apart by itself, in one pass and a tenth of scalecodec's time;
documentation is dropped but for the errors'. A :class:`Schema` is plain data, which the disk cache
(:mod:`subnet.chain.cache`) keeps as msgpack; :mod:`subnet.chain.values` decodes values by its types.
"""

from __future__ import annotations

from functools import partial

import msgspec

from subnet.chain.scale import Cursor
from subnet.errors import ChainMalformed

MAX_METADATA = 4 * 1024 * 1024
"""Bytes of metadata that we are ready to take apart; a full runtime's is under 1 MiB."""
MAX_ELEMENTS = 120_000
"""Elements of all its lists. One takes up to 16 bytes there, and in scalecodec's memory some 2,500."""
PRIMITIVES = (
    "bool",
    "char",
    "str",
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "u256",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "i256",
)
_HASHERS = (
    "Blake2_128",
    "Blake2_256",
    "Blake2_128Concat",
    "Twox128",
    "Twox256",
    "Twox64Concat",
    "Identity",
)


class Field(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A field of a struct or a variant; unnamed ones have None."""

    name: str | None
    type: int


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """An arm of an enum; of errors, ``docs`` are the runtime's own words."""

    name: str
    index: int
    fields: list[Field]
    docs: str = ""


class Type(msgspec.Struct, frozen=True, array_like=True):
    """One type of the registry. ``kind`` says which of the rest it has.

    ``struct`` fields; ``enum`` variants; ``list`` and ``compact`` inner[0]; ``array`` inner[0] and
    length; ``tuple`` inner; ``primitive`` name; ``bits`` nothing. ``path`` is the last name of the type's path.
    """

    kind: str
    path: str = ""
    inner: list[int] = []
    fields: list[Field] = []
    variants: list[Variant] = []
    length: int = 0
    name: str = ""


class Storage(msgspec.Struct, frozen=True, array_like=True):
    """A storage item. ``default`` are the SCALE bytes of an absent entry; None where absence is an answer."""

    name: str
    hashers: list[str]
    keys: list[int]
    value: int
    default: bytes | None


class Constant(msgspec.Struct, frozen=True, array_like=True):
    name: str
    type: int
    value: bytes


class Pallet(msgspec.Struct, frozen=True, array_like=True):
    """A pallet; ``prefix`` is what its storage keys are hashed from."""

    name: str
    index: int
    prefix: str
    items: list[Storage]
    constants: list[Constant]
    calls: int | None
    events: int | None
    errors: int | None


class Schema(msgspec.Struct, frozen=True, array_like=True):
    """A runtime's types by number, and its pallets."""

    types: dict[int, Type]
    pallets: list[Pallet]

    def pallet(self, name: str) -> Pallet | None:
        return next((pallet for pallet in self.pallets if pallet.name == name), None)

    def type(self, number: int) -> Type:
        """A type by its number. Raises ChainMalformed where the registry has none such."""
        try:
            return self.types[number]
        except KeyError:
            raise ChainMalformed(f"the metadata has no type {number}") from None


def parse(metadata: bytes) -> Schema:
    """Metadata V14 as a Schema. Raises ChainMalformed for anything else."""
    if len(metadata) > MAX_METADATA:
        raise ChainMalformed(f"the chain's metadata is larger than {MAX_METADATA} bytes")
    if metadata[:4] != b"meta" or metadata[4:5] != b"\x0e":
        raise ChainMalformed("the chain's metadata is not of version 14")
    cursor = Cursor(metadata, 5, MAX_ELEMENTS)
    types = dict(cursor.many(partial(_type, cursor)))
    pallets = cursor.many(partial(_pallet, cursor))
    schema = Schema(types, pallets)
    return Schema(types, [_with_key_types(pallet, schema) for pallet in pallets])


def _type(cursor: Cursor) -> tuple[int, Type]:
    number = cursor.compact()
    path = cursor.many(cursor.text)
    cursor.many(partial(_parameter, cursor))
    # only errors' words are shown to anyone; the other docs are most of the metadata
    words = path[-2:] == ["pallet", "Error"] or path[-1:] == ["Error"]
    found = _definition(cursor, path[-1] if path else "", words=words)
    _skip_docs(cursor)
    return number, found


def _parameter(cursor: Cursor) -> None:
    cursor.blob()
    cursor.option(cursor.compact)


def _definition(cursor: Cursor, path: str, *, words: bool) -> Type:
    match cursor.byte():
        case 0:
            return Type("struct", path, fields=_fields(cursor))
        case 1:
            return Type("enum", path, variants=cursor.many(partial(_variant, cursor, words=words)))
        case 2:
            return Type("list", path, [cursor.compact()])
        case 3:
            length = int.from_bytes(cursor.take(4), "little")
            return Type("array", path, [cursor.compact()], length=length)
        case 4:
            return Type("tuple", path, cursor.many(cursor.compact))
        case 5:
            return Type("primitive", path, name=_one_of(PRIMITIVES, cursor.byte(), "primitive type"))
        case 6:
            return Type("compact", path, [cursor.compact()])
        case 7:
            cursor.compact()
            cursor.compact()
            return Type("bits", path)
        case kind:
            raise ChainMalformed(f"the metadata defines a type of kind {kind}")


def _fields(cursor: Cursor) -> list[Field]:
    return cursor.many(partial(_field, cursor))


def _field(cursor: Cursor) -> Field:
    name = cursor.option(cursor.text)
    number = cursor.compact()
    cursor.option(cursor.blob)
    _skip_docs(cursor)
    return Field(name, number)


def _variant(cursor: Cursor, *, words: bool) -> Variant:
    name, fields, index = cursor.text(), _fields(cursor), cursor.byte()
    docs = " ".join(line.strip() for line in cursor.many(cursor.text)) if words else _skip_docs(cursor)
    return Variant(name, index, fields, docs)


def _skip_docs(cursor: Cursor) -> str:
    for _ in range(cursor.listed()):
        cursor.blob()
    return ""


def _pallet(cursor: Cursor) -> Pallet:
    name = cursor.text()
    storage = cursor.option(lambda: (cursor.text(), cursor.many(partial(_storage, cursor))))
    calls = cursor.option(cursor.compact)
    events = cursor.option(cursor.compact)
    constants = cursor.many(partial(_constant, cursor))
    errors = cursor.option(cursor.compact)
    prefix, items = storage or ("", [])
    return Pallet(name, cursor.byte(), prefix, items, constants, calls, events, errors)


def _storage(cursor: Cursor) -> Storage:
    name, modifier = cursor.text(), cursor.byte()
    hashers: list[str] = []
    keys: list[int] = []
    if cursor.byte():
        hashers = [_one_of(_HASHERS, number, "hasher") for number in cursor.many(cursor.byte)]
        keys = [cursor.compact()]
    value = cursor.compact()
    default = cursor.blob()
    _skip_docs(cursor)
    return Storage(name, hashers, keys, value, None if modifier == 0 else default)


def _constant(cursor: Cursor) -> Constant:
    found = Constant(cursor.text(), cursor.compact(), cursor.blob())
    _skip_docs(cursor)
    return found


def _with_key_types(pallet: Pallet, schema: Schema) -> Pallet:
    """The key's type of each map as one type a hasher: a double map's key is a tuple in the metadata."""
    items = []
    for item in pallet.items:
        if len(item.hashers) > 1:
            keys = schema.type(item.keys[0])
            if keys.kind != "tuple" or len(keys.inner) != len(item.hashers):
                raise ChainMalformed(f"{pallet.name}.{item.name} has {len(item.hashers)} hashers for other keys")
            item = msgspec.structs.replace(item, keys=keys.inner)
        items.append(item)
    return msgspec.structs.replace(pallet, items=items)


def _one_of(names: tuple[str, ...], number: int, what: str) -> str:
    if number >= len(names):
        raise ChainMalformed(f"the metadata names an unknown {what} {number}")
    return names[number]
