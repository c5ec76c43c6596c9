"""Messages to bytes and back: msgpack, or JSON for people with curl.

:func:`encode` writes a :class:`~subnet.synapse.Message` as a map by field name; its tensors become msgpack
ext type 1, whose payload is::

    length of dtype name (u8) | dtype name (ascii) | ndim (u8) | ndim x length (u64 LE) | raw little-endian values

so that a top-level tensor is copied once, into the body. :func:`decode` reads one complete document of
a stated class and gives tensors as read-only views of the bytes they came in, never a copy.
Every way in which bytes from the network can be wrong ends as one of four errors: Malformed, TooDeep,
WrongType, BadTensor. In JSON a tensor is ``{"dtype": …, "shape": […], "base64": …}``.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from subnet.errors import BadTensor, BodyTooLarge, Malformed, TooDeep, WrongType
from subnet.synapse import MAX_DIMS, Message, Tensor, dtype_of, tensor_fields

MSGPACK: Final = "application/msgpack"
JSON: Final = "application/json"
EXT_TENSOR: Final = 1
MAX_EMPTY_DIM: Final = 65_536
"""Longest dimension of a tensor without elements: its bytes can't vouch for its shape, so this does."""

MessageT = TypeVar("MessageT", bound=Message)
Buffer = bytes | bytearray | memoryview

_LENGTH = struct.Struct("<Q")
_EXT8, _EXT16, _EXT32 = struct.Struct(">BBb"), struct.Struct(">BHb"), struct.Struct(">BIb")


def encode(message: Message, *, json: bool = False) -> bytes:
    """The message as msgpack (or JSON). Raises BadTensor or WrongType for values that can't travel."""
    try:
        if json:
            return _json_encoder.encode(message)
        fields = tensor_fields(type(message))
        if fields and _is_plain_map(type(message)):
            return b"".join(_parts(message, fields))
        return _encoder.encode(message)
    except (TypeError, ValueError, OverflowError) as error:  # ValueError: a lone surrogate, a masked array
        raise WrongType(f"{type(message).__name__} can't be encoded: {error}") from None
    except RecursionError:
        raise TooDeep(f"{type(message).__name__} nests too deep to be encoded") from None


def decode(cls: type[MessageT], data: Buffer, *, json: bool = False) -> MessageT:
    """One complete document as a ``cls``, tensors checked against their Specs and given as views of ``data``.

    Raises Malformed, TooDeep, WrongType or BadTensor, whatever the bytes are.
    """
    decoder: Callable[[Buffer], MessageT] = (_json_decoder if json else _decoder)(cls).decode
    try:
        return decoder(data)
    except msgspec.ValidationError as error:
        raise WrongType(f"{cls.__name__}: {error}") from None
    except RecursionError:
        raise TooDeep(f"{cls.__name__}: the body nests too deep") from None
    except (msgspec.DecodeError, ValueError, MemoryError, OverflowError) as error:
        raise Malformed(f"{cls.__name__}: {str(error)[:200]}") from None


def encode_data(data: Any, *, json: bool = False) -> bytes:
    """Plain data (dicts, lists, numbers, text) as msgpack or JSON: the bodies of errors."""
    return (_json_encoder if json else _encoder).encode(data)


def decode_data(data: Buffer, *, json: bool = False) -> Any:
    """Plain data back; Malformed or TooDeep where it is none. The caller bounds its size."""
    try:
        return msgspec.json.decode(data) if json else msgspec.msgpack.decode(data)
    except RecursionError:
        raise TooDeep("the body nests too deep") from None
    except (msgspec.DecodeError, ValueError, MemoryError) as error:
        raise Malformed(str(error)[:200]) from None


def _parts(message: Message, fields: Mapping[str, Any]) -> list[Buffer]:
    """The message as pieces to be joined, so that the bytes of its tensors are copied once."""
    cls = type(message)
    names = cls.__struct_fields__
    parts: list[Buffer] = [_map_header(len(names))]
    for name, key in zip(names, _encoded_names(cls), strict=True):
        value = getattr(message, name)
        parts.append(key)
        if name in fields and value is not None:
            header, raw = _tensor_bytes(value)
            parts += (_ext_header(len(header) + len(raw)), header, raw)
        else:
            parts.append(_encoder.encode(value))
    return parts


def _tensor_bytes(array: Tensor) -> tuple[bytes, memoryview]:
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    return _tensor_header(array.dtype, array.shape), array.reshape(-1).view(np.uint8).data


@lru_cache(maxsize=1024)
def _tensor_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    name = dtype.name.encode()
    if len(shape) > MAX_DIMS:
        raise BadTensor(f"{len(shape)} dimensions; at most {MAX_DIMS} can travel")
    try:
        dtype_of(dtype.name)
    except KeyError:
        raise BadTensor(f"dtype {dtype} can't travel") from None
    return bytes([len(name)]) + name + bytes([len(shape)]) + b"".join(map(_LENGTH.pack, shape))


def _read_tensor(data: memoryview) -> Tensor:
    if len(data) > 1:
        names = 1 + data[0]  # bytes before the number of dimensions
        if names < len(data):
            start = names + 1 + 8 * data[names]
            if start <= len(data):
                dtype, shape, size = _read_header(bytes(data[:start]))
                if size == len(data) - start:
                    return _as_view(np.frombuffer(data, dtype, offset=start).reshape(shape))
                raise BadTensor(f"{len(data) - start} bytes can't be {dtype.name} of shape {shape}")
    raise BadTensor("a tensor's header is cut short")


@lru_cache(maxsize=1024)
def _read_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """dtype, shape and bytes of the values; the same few headers come again and again."""
    at = 1 + header[0]
    ndim = header[at]
    if ndim > MAX_DIMS:
        raise BadTensor("a tensor has too many dimensions")
    try:
        name = str(header[1:at], "ascii")
    except ValueError:
        raise BadTensor("a tensor's dtype is no ascii") from None
    shape = tuple(_LENGTH.unpack_from(header, at + 1 + 8 * axis)[0] for axis in range(ndim))
    dtype = _dtype(name)
    count = math.prod(shape)
    if count == 0 and max(shape, default=0) > MAX_EMPTY_DIM:
        raise BadTensor(f"shape {shape} holds nothing and claims more than {MAX_EMPTY_DIM}")
    return dtype, shape, count * dtype.itemsize


def _view(name: str, shape: tuple[int, ...], raw: Buffer) -> Tensor:
    """An array of ``shape`` over ``raw``; BadTensor unless dtype, shape and bytes fit each other."""
    dtype = _dtype(name)
    count = math.prod(shape)
    if count * dtype.itemsize != len(raw):
        raise BadTensor(f"{len(raw)} bytes can't be {name} of shape {shape}")
    if count == 0 and max(shape, default=0) > MAX_EMPTY_DIM:
        raise BadTensor(f"shape {shape} holds nothing and claims more than {MAX_EMPTY_DIM}")
    return _as_view(np.frombuffer(raw, dtype=dtype).reshape(shape))


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return dtype_of(name)
    except KeyError:
        raise BadTensor(f"dtype {name[:20]!r} can't travel") from None


def _as_view(array: Tensor) -> Tensor:
    if array.dtype == np.bool_ and array.size and array.view(np.uint8).max() > 1:
        raise BadTensor("a bool tensor holds bytes other than 0 and 1")  # numpy would compare them as neither
    array.flags.writeable = False
    return array


def _to_msgpack(value: Any) -> Any:
    """msgspec's enc_hook: tensors inside lists or Any, and numpy's scalars."""
    if isinstance(value, np.ndarray):
        return msgspec.msgpack.Ext(EXT_TENSOR, b"".join(_tensor_bytes(value)))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} can't travel")


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        header, raw = _tensor_bytes(value)
        name = str(header[1 : 1 + header[0]], "ascii")
        return {"dtype": name, "shape": value.shape, "base64": base64.b64encode(raw).decode()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} can't travel")


def _from_ext(code: int, data: memoryview) -> Tensor:
    if code != EXT_TENSOR:
        raise WrongType(f"msgpack ext type {code} is unknown")
    return _read_tensor(data)


def _from_json(cls: type, value: Any) -> Any:
    """msgspec's dec_hook for JSON: the one custom type is a tensor."""
    try:
        name, shape, text = value["dtype"], value["shape"], value["base64"]
        raw = base64.b64decode(text, validate=True)
    except (TypeError, KeyError, binascii.Error, ValueError):
        raise BadTensor("a tensor in JSON is {dtype, shape, base64}") from None
    if not isinstance(name, str) or not isinstance(shape, list) or len(shape) > MAX_DIMS:
        raise BadTensor("a tensor in JSON is {dtype, shape, base64}")
    if not all(type(length) is int and 0 <= length < 2**63 for length in shape):
        raise BadTensor("a tensor's shape holds lengths, whole numbers from 0")
    return _view(name, tuple(shape), raw)


@cache
def _decoder(cls: type[Message]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(cls, ext_hook=_from_ext)


@cache
def _json_decoder(cls: type[Message]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(cls, dec_hook=_from_json)


@cache
def _is_plain_map(cls: type[Message]) -> bool:
    config = cls.__struct_config__
    return not (config.array_like or config.tag is not None or config.omit_defaults)


@cache
def _encoded_names(cls: type[Message]) -> tuple[bytes, ...]:
    return tuple(_encoder.encode(name) for name in cls.__struct_encode_fields__)


def _map_header(length: int) -> bytes:
    return bytes([0x80 | length]) if length < 16 else b"\xde" + length.to_bytes(2, "big")


def _ext_header(length: int) -> bytes:
    if length < 1 << 8:
        return _EXT8.pack(0xC7, length, EXT_TENSOR)
    if length < 1 << 16:
        return _EXT16.pack(0xC8, length, EXT_TENSOR)
    if length < 1 << 32:
        return _EXT32.pack(0xC9, length, EXT_TENSOR)
    raise BodyTooLarge(f"a tensor of {length} bytes is more than msgpack can hold (4 GiB)")


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_msgpack)
_json_encoder = msgspec.json.Encoder(enc_hook=_to_json)
