"""SCALE types of the local chain: one object a type, which encodes, decodes and describes itself.

A pallet's declarations are made of these objects; the same object turns a value into bytes (storage,
events, constants), bytes into a value (extrinsics) and itself into an entry of the metadata's type
registry (:mod:`subnet.devnet.metadata`). Values are plain Python: int, bool, bytes, list, tuple, dict
(structs) and ``(variant, value)`` pairs (enums).

Bytes come from strangers: every length is checked against what is left before memory is taken, and
nesting is bounded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, ClassVar, Generic, TypeVar

T = TypeVar("T")
K = TypeVar("K")

MAX_CALLS = 16_384  # in one extrinsic; more than a block takes
MAX_DEPTH = 32  # of calls within calls; the real chain stops at 256 of any nesting


class ScaleError(ValueError):
    """Bytes that are not an encoding of the type, or a value that the type can't hold."""


class Reader:
    """A cursor over bytes; every read is checked against the end."""

    __slots__ = ("at", "data", "depth", "lazies")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at
        self.depth = 0
        self.lazies = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise ScaleError(f"{size} bytes wanted, {self.left} left")
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def count(self, smallest: int) -> int:
        """A compact length of a sequence whose elements take at least ``smallest`` bytes each."""
        count = compact_from(self)
        if count * max(smallest, 1) > self.left:
            raise ScaleError(f"{count} elements announced, {self.left} bytes left")
        return count


def compact(value: int) -> bytes:
    """SCALE's compact integer."""
    if value < 0:
        raise ScaleError(f"{value} is negative")
    if value < 1 << 6:
        return bytes([value << 2])
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    size = (value.bit_length() + 7) // 8
    if size > 67:
        raise ScaleError("too large for a compact integer")
    return bytes([(size - 4) << 2 | 3]) + value.to_bytes(size, "little")


def compact_from(reader: Reader) -> int:
    first = reader.byte()
    mode = first & 3
    if mode == 0:
        return first >> 2
    if mode == 3:
        return int.from_bytes(reader.take((first >> 2) + 4), "little")
    rest = reader.take(1 if mode == 1 else 3)
    return int.from_bytes(bytes([first]) + rest, "little") >> 2


class Scale(Generic[T]):
    """Base of all types. ``fmt`` is the struct format of a type of fixed width, else None."""

    fmt: str | None = None
    smallest: int = 0  # the least number of bytes an encoding takes

    def encode(self, value: T) -> bytes:
        raise ScaleError(f"{type(self).__name__} can't be encoded")

    def read(self, reader: Reader) -> T:
        raise ScaleError(f"{type(self).__name__} can't be decoded")

    def decode(self, data: bytes) -> T:
        """The value that ``data`` encodes, to its last byte; ScaleError otherwise."""
        reader = Reader(data)
        value = self.read(reader)
        if reader.left:
            raise ScaleError(f"{reader.left} bytes too many")
        return value


class Int(Scale[int]):
    """Fixed-width integer, ``u8`` to ``u128`` and ``i8`` to ``i128``."""

    _FORMATS: ClassVar = {1: "B", 2: "H", 4: "I", 8: "Q"}

    def __init__(self, name: str) -> None:
        self.name = name
        self.signed = name[0] == "i"
        self.smallest = int(name[1:]) // 8
        code = self._FORMATS.get(self.smallest)
        self.fmt = code.lower() if code and self.signed else code

    def encode(self, value: int) -> bytes:
        try:
            return int(value).to_bytes(self.smallest, "little", signed=self.signed)
        except (OverflowError, ValueError, TypeError) as error:
            raise ScaleError(f"{value!r} is not a {self.name}") from error

    def read(self, reader: Reader) -> int:
        return int.from_bytes(reader.take(self.smallest), "little", signed=self.signed)

    @property
    def highest(self) -> int:
        bits = self.smallest * 8
        return (1 << (bits - self.signed)) - 1


class BoolType(Scale[bool]):
    fmt = "?"
    smallest = 1

    def encode(self, value: bool) -> bytes:
        return b"\1" if value else b"\0"

    def read(self, reader: Reader) -> bool:
        byte = reader.byte()
        if byte > 1:
            raise ScaleError(f"{byte} is not a bool")
        return byte == 1


class Compact(Scale[int]):
    """Compact form of ``inner``."""

    smallest = 1

    def __init__(self, inner: Int | Named[int]) -> None:
        self.inner = inner
        base = inner.inner if isinstance(inner, Named) else inner
        assert isinstance(base, Int)  # noqa: S101 - a slip in a declaration
        self.name, self.highest = base.name, base.highest

    def encode(self, value: int) -> bytes:
        return compact(value)

    def read(self, reader: Reader) -> int:
        value = compact_from(reader)
        if value > self.highest:
            raise ScaleError(f"{value} is not a compact {self.name}")
        return value


class Named(Scale[T]):
    """A type under another name (``NetUid`` is a u16): the same bytes, to clients a composite of one field."""

    def __init__(self, path: str, inner: Scale[T], **params: Scale[Any]) -> None:
        self.path = tuple(path.split("::"))
        self.inner = inner
        self.params = params
        self.fmt, self.smallest = inner.fmt, inner.smallest

    def encode(self, value: T) -> bytes:
        return self.inner.encode(value)

    def read(self, reader: Reader) -> T:
        return self.inner.read(reader)


class FixedBytes(Scale[bytes]):
    """``[u8; size]``, under ``path`` where the chain has a name for it (AccountId32, H256)."""

    def __init__(self, size: int, *path: str) -> None:
        self.size = self.smallest = size
        self.path = path
        self.fmt = f"{size}s"

    def encode(self, value: bytes) -> bytes:
        if len(value) != self.size:
            raise ScaleError(f"{len(value)} bytes where {self.size} belong")
        return bytes(value)

    def read(self, reader: Reader) -> bytes:
        return reader.take(self.size)


class BytesType(Scale[bytes]):
    """``Vec<u8>``; as ``str`` in the metadata where ``text``."""

    smallest = 1

    def __init__(self, *, text: bool = False) -> None:
        self.text = text

    def encode(self, value: bytes) -> bytes:
        return compact(len(value)) + bytes(value)

    def read(self, reader: Reader) -> bytes:
        return reader.take(reader.count(1))


class Vec(Scale[list[T]]):
    """``Vec<inner>``; elements of fixed width go through :mod:`struct` in one step."""

    smallest = 1

    def __init__(self, inner: Scale[T]) -> None:
        self.inner = inner
        self._single = not isinstance(inner, Tuple)

    def encode(self, value: Sequence[T]) -> bytes:
        code = self.inner.fmt
        if code is None or "s" in code:
            return compact(len(value)) + b"".join(map(self.inner.encode, value))
        numbers: Any = value if self._single else chain.from_iterable(value)  # type: ignore[arg-type]
        try:
            return compact(len(value)) + struct.pack("<" + code * len(value), *numbers)
        except (struct.error, TypeError) as error:
            raise ScaleError(str(error)) from error

    def read(self, reader: Reader) -> list[T]:
        count = reader.count(self.inner.smallest)
        code = self.inner.fmt
        if code is None:
            if self.inner.smallest == 0 and count > 4096:
                raise ScaleError("too many empty elements")
            return [self.inner.read(reader) for _ in range(count)]
        data = reader.take(count * self.inner.smallest)
        if code == "?" and max(data, default=0) > 1:
            raise ScaleError("not a bool")
        rows: Any = struct.iter_unpack("<" + code, data)
        return [row[0] for row in rows] if self._single else list(rows)


class Bounded(Scale[T]):
    """``BoundedVec``: a Vec, or bytes, of at most ``most`` elements. A composite of one field, as clients see it."""

    smallest = 1
    path = ("bounded_collections", "bounded_vec", "BoundedVec")

    def __init__(self, inner: Scale[T], most: int) -> None:
        self.inner, self.most = inner, most
        self.element: Scale[Any] = inner.inner if isinstance(inner, Vec) else U8

    def encode(self, value: T) -> bytes:
        self._check(value)
        return self.inner.encode(value)

    def read(self, reader: Reader) -> T:
        value = self.inner.read(reader)
        self._check(value)
        return value

    def _check(self, value: Any) -> None:
        if len(value) > self.most:
            raise ScaleError(f"{len(value)} elements where at most {self.most} fit")


class Option(Scale[T | None]):
    smallest = 1

    def __init__(self, inner: Scale[T]) -> None:
        self.inner = inner

    def encode(self, value: T | None) -> bytes:
        return b"\0" if value is None else b"\1" + self.inner.encode(value)

    def read(self, reader: Reader) -> T | None:
        flag = reader.byte()
        if flag > 1:
            raise ScaleError(f"{flag} is not an Option")
        return self.inner.read(reader) if flag else None


class Tuple(Scale[tuple[Any, ...]]):
    def __init__(self, *inner: Scale[Any]) -> None:
        self.inner = inner
        self.smallest = sum(part.smallest for part in inner)
        codes = [part.fmt for part in inner]
        # one level only: the struct module flattens what is nested
        flat = inner and all(code and (len(code) == 1 or code.endswith("s")) for code in codes)
        self.fmt = "".join(code for code in codes if code) if flat and len(inner) > 1 else None

    def encode(self, value: Sequence[Any]) -> bytes:
        if len(value) != len(self.inner):
            raise ScaleError(f"{len(value)} values where {len(self.inner)} belong")
        return b"".join(part.encode(one) for part, one in zip(self.inner, value, strict=True))

    def read(self, reader: Reader) -> tuple[Any, ...]:
        return tuple(part.read(reader) for part in self.inner)


class Struct(Scale[dict[str, Any]]):
    """A composite with named fields under ``path`` (``"pallet_subtensor::pallet::AxonInfo"``)."""

    def __init__(self, path: str, /, **fields: Scale[Any]) -> None:
        self.path = tuple(path.split("::")) if path else ()
        self.fields = fields
        self.params: dict[str, Scale[Any]] = {}
        self.smallest = sum(part.smallest for part in fields.values())

    def of(self, **params: Scale[Any]) -> Struct:
        """With the type parameters that it has in Rust; polkadot-js finds some types by them."""
        self.params = params
        return self

    def encode(self, value: Mapping[str, Any]) -> bytes:
        try:
            return b"".join(part.encode(value[name]) for name, part in self.fields.items())
        except KeyError as error:
            raise ScaleError(f"field {error} is missing") from error

    def read(self, reader: Reader) -> dict[str, Any]:
        return {name: part.read(reader) for name, part in self.fields.items()}


Fields = Sequence[tuple[str | None, Scale[Any]]]


class Variant:
    """One arm of an :class:`Enum`: its number and its fields, named or not."""

    __slots__ = ("docs", "fields", "index", "name")

    def __init__(self, name: str, index: int, fields: Fields = (), docs: str = "") -> None:
        self.name, self.index, self.fields, self.docs = name, index, tuple(fields), docs


class Enum(Scale[tuple[str, Any]]):
    """A variant type. A value is ``(name, x)``: x is None, the one field, a tuple, or a dict of named fields."""

    smallest = 1

    def __init__(self, path: str, variants: Sequence[Variant], **params: Scale[Any]) -> None:
        self.path = tuple(path.split("::")) if path else ()
        self.variants = tuple(variants)
        self.params = params
        self._by_name = {variant.name: variant for variant in variants}
        self._by_index = {variant.index: variant for variant in variants}

    def encode(self, value: tuple[str, Any]) -> bytes:
        name, content = value
        variant = self._by_name.get(name)
        if variant is None:
            raise ScaleError(f"no variant {name}")
        head = bytes([variant.index])
        fields = variant.fields
        if not fields:
            return head
        if fields[0][0] is not None:
            return head + b"".join(part.encode(content[str(key)]) for key, part in fields)
        if len(fields) == 1:
            return head + fields[0][1].encode(content)
        return head + b"".join(part.encode(one) for (_, part), one in zip(fields, content, strict=True))

    def read(self, reader: Reader) -> tuple[str, Any]:
        variant = self._by_index.get(reader.byte())
        if variant is None:
            raise ScaleError("no such variant")
        fields = variant.fields
        if not fields:
            return variant.name, None
        if fields[0][0] is not None:
            return variant.name, {key: part.read(reader) for key, part in fields}
        if len(fields) == 1:
            return variant.name, fields[0][1].read(reader)
        return variant.name, tuple(part.read(reader) for _, part in fields)


class Lazy(Scale[T]):
    """A type that is known later (RuntimeCall holds calls that hold a RuntimeCall)."""

    smallest = 1

    def __init__(self, resolve: Callable[[], Scale[T]]) -> None:
        self.resolve = resolve

    def encode(self, value: T) -> bytes:
        return self.resolve().encode(value)

    def read(self, reader: Reader) -> T:
        reader.depth += 1
        reader.lazies += 1
        if reader.depth > MAX_DEPTH:
            raise ScaleError("nested too deeply")
        if reader.lazies > MAX_CALLS:
            raise ScaleError(f"more than {MAX_CALLS} calls")
        try:
            return self.resolve().read(reader)
        finally:
            reader.depth -= 1


U8, U16, U32, U64, U128 = (Int(name) for name in ("u8", "u16", "u32", "u64", "u128"))
I16, I64, I128 = (Int(name) for name in ("i16", "i64", "i128"))
BOOL = BoolType()
BYTES = BytesType()
TEXT = BytesType(text=True)
UNIT = Tuple()
ACCOUNT = FixedBytes(32, "sp_core", "crypto", "AccountId32")
H256 = FixedBytes(32, "primitive_types", "H256")
MULTI_ADDRESS = Enum(
    "sp_runtime::multiaddress::MultiAddress",
    [
        Variant("Id", 0, [(None, ACCOUNT)]),
        Variant("Index", 1, [(None, Compact(U32))]),
        Variant("Raw", 2, [(None, BYTES)]),
        Variant("Address32", 3, [(None, FixedBytes(32))]),
        Variant("Address20", 4, [(None, FixedBytes(20))]),
    ],
    AccountId=ACCOUNT,
    AccountIndex=UNIT,
)

# How a call's function annotates its arguments: the Python type for readers and mypy, the SCALE type
# for the wire and the metadata.
u8 = Annotated[int, U8]
u16 = Annotated[int, U16]
u32 = Annotated[int, U32]
u64 = Annotated[int, U64]
u128 = Annotated[int, U128]
i16 = Annotated[int, I16]
compact_u64 = Annotated[int, Compact(U64)]
boolean = Annotated[bool, BOOL]
octets = Annotated[bytes, BYTES]
account = Annotated[bytes, ACCOUNT]
h256 = Annotated[bytes, H256]
address = Annotated[tuple[str, Any], MULTI_ADDRESS]
vec_u16 = Annotated[list[int], Vec(U16)]
vec_u64 = Annotated[list[int], Vec(U64)]
vec_vec_u16 = Annotated[list[list[int]], Vec(Vec(U16))]
