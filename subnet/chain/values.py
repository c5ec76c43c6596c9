"""Values by their types in the metadata: SCALE bytes to plain Python and, for storage keys, back.

Structs are dicts (or, where fields have no names, tuples, or the single field itself); an enum's
arm is its name, with fields ``{name: fields}``; accounts are ss58 text, fixed bytes and hashes
0x-hex, ``Vec<u8>`` text where it is UTF-8 and 0x-hex otherwise (or bytes, if asked for); an absent
``Option`` is None. These are scalecodec's shapes, by which :meth:`~subnet.chain.reader.Reader.query` is known.

Types come from a stranger too: a budget in proportion to the bytes bounds the work, however the
types nest or repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from subnet.chain.scale import Cursor
from subnet.chain.schema import Field, Schema, Type
from subnet.errors import ChainMalformed
from subnet.keys import public_key_of, ss58_of

MAX_DEPTH = 64
"""How deep types may nest."""
_BUDGET = 1000  # values that may come of no bytes at all
_BUDGET_PER_BYTE = 32  # newtypes around each byte
MAX_VALUES = 1_000_000
"""Values in one value, whatever its size: a dict for a byte is a thing that a lying node can arrange."""


class Decoder:
    """Decodes values at a cursor; ``raw`` leaves ``Vec<u8>`` as bytes."""

    def __init__(self, schema: Schema, data: bytes, *, raw: bool = False) -> None:
        self.schema = schema
        self.cursor = Cursor(data)
        self.raw = raw
        self._budget = min(_BUDGET + _BUDGET_PER_BYTE * len(data), MAX_VALUES)

    def value(self, number: int, depth: int = 0) -> Any:
        """The next value, of the type with this number. Raises ChainMalformed."""
        self._budget -= 1
        if self._budget < 0 or depth > MAX_DEPTH:
            raise ChainMalformed("a value's type nests too deep or repeats too much for its bytes")
        kind = self.schema.type(number)
        match kind.kind:
            case "primitive":
                return self._primitive(kind.name)
            case "struct":
                return self._struct(kind, depth)
            case "list":
                return self._list(kind.inner[0], self.cursor.compact(), depth)
            case "enum":
                return self._enum(kind, depth)
            case "tuple":
                values = tuple(self.value(inner, depth + 1) for inner in kind.inner)
                return values or None
            case "compact":
                return self.cursor.compact()
            case "array":
                if self._is_byte(kind.inner[0]):
                    return "0x" + self.cursor.take(kind.length).hex()
                return self._list(kind.inner[0], kind.length, depth)
        raise ChainMalformed(f"values of kind {kind.kind} are not supported")

    def _is_byte(self, number: int) -> bool:
        kind = self.schema.type(number)
        return kind.kind == "primitive" and kind.name == "u8"

    def _primitive(self, name: str) -> Any:
        if name == "bool":
            flag = self.cursor.byte()
            if flag > 1:
                raise ChainMalformed(f"a bool is {flag}")
            return bool(flag)
        if name == "str":
            return self.cursor.text()
        if name == "char":
            return _char(self.cursor.take(4))
        size = int(name[1:]) // 8
        return int.from_bytes(self.cursor.take(size), "little", signed=name[0] == "i")

    def _struct(self, kind: Type, depth: int) -> Any:
        if kind.path == "AccountId32":
            return ss58_of(self.cursor.take(32))
        return self._fields(kind.fields, depth)

    def _fields(self, fields: Sequence[Field], depth: int) -> Any:
        if fields and fields[0].name is not None:
            return {field.name: self.value(field.type, depth + 1) for field in fields}
        values = tuple(self.value(field.type, depth + 1) for field in fields)
        return values[0] if len(values) == 1 else values or None

    def _list(self, inner: int, count: int, depth: int) -> Any:
        if count > self.cursor.left:
            raise ChainMalformed(f"a list claims {count} elements in {self.cursor.left} bytes")
        if self._is_byte(inner):
            data = self.cursor.take(count)
            return data if self.raw else _readable(data)
        return [self.value(inner, depth + 1) for _ in range(count)]

    def _enum(self, kind: Type, depth: int) -> Any:
        index = self.cursor.byte()
        arm = next((variant for variant in kind.variants if variant.index == index), None)
        if arm is None:
            raise ChainMalformed(f"{kind.path or 'an enum'} has no variant {index}")
        if kind.path == "Option":
            return self.value(arm.fields[0].type, depth + 1) if arm.fields else None
        return {arm.name: self._fields(arm.fields, depth)} if arm.fields else arm.name


def decode(schema: Schema, number: int, data: bytes, *, raw: bool = False) -> Any:
    """A whole value. Raises ChainMalformed, also where bytes are left."""
    decoder = Decoder(schema, data, raw=raw)
    found = decoder.value(number)
    decoder.cursor.finish()
    return found


def _readable(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()


def _char(data: bytes) -> str:
    try:
        return data.decode("utf-32-le")
    except UnicodeDecodeError:
        raise ChainMalformed(f"{data.hex()} is no character") from None


def encode(schema: Schema, number: int, value: Any, depth: int = 0) -> bytes:
    """SCALE bytes of a plain value. Raises ValueError for one that is not of the type."""
    kind = schema.type(number)
    if depth > MAX_DEPTH:
        raise ValueError("the type nests too deep")
    match kind.kind:
        case "primitive":
            return _encode_primitive(kind.name, value)
        case "struct":
            if kind.path == "AccountId32":
                return _account(value)
            return _encode_fields(schema, kind.fields, value, depth)
        case "tuple":
            return _encode_each(schema, kind.inner, value, depth)
        case "compact":
            return compact_bytes(_integer(value))
        case "array":
            return _encode_array(schema, kind, value, depth)
        case "list":
            return _encode_list(schema, kind.inner[0], value, depth)
        case "enum":
            return _encode_enum(schema, kind, value, depth)
    raise ValueError(f"values of kind {kind.kind} are not supported")


def compact_bytes(value: int) -> bytes:
    """A compact integer."""
    if value < 0:
        raise ValueError("a compact integer is not negative")
    for mode, size in enumerate((1, 2, 4)):
        if value < 1 << (8 * size - 2):
            return (value << 2 | mode).to_bytes(size, "little")
    size = max((value.bit_length() + 7) // 8, 4)
    if size > 67:
        raise ValueError("too large for a compact integer")
    return bytes([(size - 4) << 2 | 3]) + value.to_bytes(size, "little")


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError(f"{value!r} is no integer")
    return int(value)


def _encode_primitive(name: str, value: Any) -> bytes:
    if name == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{value!r} is no bool")
        return bytes([value])
    if name == "str":
        data = str(value).encode()
        return compact_bytes(len(data)) + data
    if name == "char":
        return str(value).encode("utf-32-le")
    try:
        return _integer(value).to_bytes(int(name[1:]) // 8, "little", signed=name[0] == "i")
    except OverflowError:
        raise ValueError(f"{value} does not fit {name}") from None


def _account(value: Any) -> bytes:
    if isinstance(value, bytes) and len(value) == 32:
        return value
    if isinstance(value, str):
        data = bytes.fromhex(value[2:]) if value.startswith("0x") else public_key_of(value)
        if len(data) == 32:
            return data
    raise ValueError(f"{value!r} is no account")


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value[2:]) if value.startswith("0x") else value.encode()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise ValueError(f"{value!r} is neither bytes nor text")


def _is_byte(schema: Schema, number: int) -> bool:
    kind = schema.type(number)
    return kind.kind == "primitive" and kind.name == "u8"


def _encode_each(schema: Schema, numbers: Sequence[int], value: Any, depth: int) -> bytes:
    values = () if value is None and not numbers else value
    if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or len(values) != len(numbers):
        raise ValueError(f"{value!r} is no tuple of {len(numbers)}")
    return b"".join(encode(schema, inner, one, depth + 1) for inner, one in zip(numbers, values, strict=True))


def _encode_fields(schema: Schema, fields: Sequence[Field], value: Any, depth: int) -> bytes:
    if fields and fields[0].name is not None:
        names = [field.name for field in fields]
        if not isinstance(value, Mapping) or set(value) != set(names):
            raise ValueError(f"{value!r} has not the fields {', '.join(map(str, names))}")
        value = [value[name] for name in names]
    elif len(fields) == 1:
        value = [value]
    return _encode_each(schema, [field.type for field in fields], value, depth)


def _encode_array(schema: Schema, kind: Type, value: Any, depth: int) -> bytes:
    if _is_byte(schema, kind.inner[0]):
        data = _bytes(value)
        if len(data) != kind.length:
            raise ValueError(f"{value!r} has {len(data)} bytes, not {kind.length}")
        return data
    if not isinstance(value, Sequence) or len(value) != kind.length:
        raise ValueError(f"{value!r} is no list of {kind.length}")
    return b"".join(encode(schema, kind.inner[0], one, depth + 1) for one in value)


def _encode_list(schema: Schema, inner: int, value: Any, depth: int) -> bytes:
    if _is_byte(schema, inner):
        data = _bytes(value)
        return compact_bytes(len(data)) + data
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise ValueError(f"{value!r} is no list")
    return compact_bytes(len(value)) + b"".join(encode(schema, inner, one, depth + 1) for one in value)


def _encode_enum(schema: Schema, kind: Type, value: Any, depth: int) -> bytes:
    if kind.path == "Option":
        name, content = ("None", None) if value is None else ("Some", value)
    elif isinstance(value, Mapping) and len(value) == 1:
        ((name, content),) = value.items()
    else:
        name, content = value, None
    arm = next((variant for variant in kind.variants if variant.name == name), None)
    if arm is None:
        raise ValueError(f"{value!r} is no variant of {kind.path}")
    return bytes([arm.index]) + (_encode_fields(schema, arm.fields, content, depth) if arm.fields else b"")
