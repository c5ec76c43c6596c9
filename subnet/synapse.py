"""How a subnet declares what travels: messages, synapses, tensors.

A :class:`Message` is a frozen record of typed fields. A :class:`Synapse` is a message that asks for
another one: ``class Classify(Synapse[Labels], timeout=5.0)`` is POSTed to ``/Classify`` and answered
with a ``Labels``. A tensor field is written ``Annotated[Tensor, Spec("uint8", ("n", 8, 8))]``; its dtype and
dimensions are checked whenever a message is made, by its author or by the decoder, and a name such as
``"n"`` means one length throughout a request *and* its reply (:func:`check_reply`).

Messages travel as maps by field name, so a field with a default may be added without breaking older peers.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, dataclass_transform, get_args, get_origin

import msgspec
import numpy as np

from subnet.errors import BadTensor, DeclarationError, WrongType

Tensor: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""A numpy array; annotate it with a :class:`Spec` to have its dtype and dimensions checked."""

MiB = 1 << 20
MAX_DIMS = 32
_PATH = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_INTEGERS = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_FLOATS = {"float16", "bfloat16", "float32", "float64", "complex64", "complex128"}
DTYPES = frozenset({"bool"} | _INTEGERS | _FLOATS)
"""The dtypes that may travel. Object dtypes never do: they would carry code."""

Dims: TypeAlias = dict[str, int]


@cache
def dtype_of(name: str) -> np.dtype[Any]:
    """The native numpy dtype of a name in :data:`DTYPES`; KeyError for any other."""
    if name not in DTYPES:
        raise KeyError(name)
    kind: Any = name
    if name == "bfloat16":
        import ml_dtypes

        kind = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(kind)
    return dtype


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor field's dtype and dimensions.

    ``dims`` holds an int for a fixed length, a name for a length that must agree wherever the name
    stands in a request and its reply, or None for any length. ``dims=None`` allows every shape.
    Raises DeclarationError for a dtype or dimension that can't be.
    """

    dtype: str
    dims: tuple[int | str | None, ...] | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise DeclarationError(f"Spec dtype {self.dtype!r} is none of {', '.join(sorted(DTYPES))}")
        if self.dims is None:
            return
        if len(self.dims) > MAX_DIMS:
            raise DeclarationError(f"Spec has {len(self.dims)} dimensions; at most {MAX_DIMS} can travel")
        for dim in self.dims:
            if not (dim is None or isinstance(dim, str) or (type(dim) is int and dim >= 0)):
                raise DeclarationError(f"Spec dimension {dim!r} is neither a length, a name nor None")

    def check(self, name: str, array: Tensor, known: Dims) -> None:
        """Raise BadTensor unless ``array`` fits; lengths met for the first time are added to ``known``."""
        if array.dtype != dtype_of(self.dtype):
            raise BadTensor(f"{name}: dtype {array.dtype.name}, declared {self.dtype}")
        if self.dims is None:
            return
        if array.ndim != len(self.dims):
            raise BadTensor(f"{name}: {array.ndim} dimensions {array.shape}, declared {self.dims}")
        for axis, (dim, length) in enumerate(zip(self.dims, array.shape, strict=True)):
            wanted = known.setdefault(dim, length) if isinstance(dim, str) else dim
            if wanted is not None and wanted != length:
                raise BadTensor(f"{name}: axis {axis} has length {length}, expected {dim!r} = {wanted}")


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a synapse's class statement says about its exchange."""

    name: str
    """The path it is POSTed to, without the slash."""
    response: type[Message]
    timeout: float
    """Seconds that a peer has, from connecting to the last byte of its reply."""
    max_request: int
    """Largest body of a request, in bytes."""
    max_reply: int
    """Largest body of a reply, in bytes; of a stream, all its messages together."""
    stream: bool = False
    """Whether it is answered with a stream of ``response`` messages instead of one."""
    chunk_timeout: float = 0.0
    """Seconds between two messages of a stream."""
    max_chunk: int = 0
    """Largest message of a stream, in bytes."""
    idempotent: bool = False
    """Whether asking two peers for the same does no harm, so that a slow one may be raced by another."""


def _declare(cls: MessageMeta, namespace: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    inherited = getattr(cls, "__declaration__", None)
    response = _response_of(namespace)
    if response is None and inherited is None:
        if said:
            raise DeclarationError(f"{cls.__name__}: {', '.join(said)} only make sense on a Synapse[SomeReply]")
        return
    base = inherited or Declaration("", Message, 12.0, 16 * MiB, 16 * MiB)
    stream, idempotent = (bool(said.get(key, getattr(base, key))) for key in ("stream", "idempotent"))
    if not stream and said.keys() & {"chunk_timeout", "max_chunk"}:
        raise DeclarationError(f"{cls.__name__}: chunk_timeout and max_chunk only make sense with stream=True")
    name = said.get("path", cls.__name__)
    if not _PATH.fullmatch(name):
        raise DeclarationError(f"{cls.__name__}: path {name!r} may hold letters, digits, _ and -, parted by /")
    timeout = float(said.get("timeout", base.timeout))
    caps = {key: int(said.get(key, getattr(base, key))) for key in ("max_request", "max_reply")}
    chunk_timeout = float(said.get("chunk_timeout", base.chunk_timeout or timeout)) if stream else 0.0
    max_chunk = int(said.get("max_chunk", base.max_chunk or min(caps["max_reply"], MiB))) if stream else 0
    seconds, sizes = [timeout, *[chunk_timeout] * stream], [*caps.values(), *[max_chunk] * stream]
    if not all(0 < one < float("inf") for one in seconds) or min(sizes) < 1:
        raise DeclarationError(f"{cls.__name__}: timeouts and size limits must be above zero and finite")
    cls.__declaration__ = Declaration(
        name,
        response or base.response,
        timeout,
        **caps,
        stream=stream,
        chunk_timeout=chunk_timeout,
        max_chunk=max_chunk,
        idempotent=idempotent,
    )


def _response_of(namespace: Mapping[str, Any]) -> type[Message] | None:
    for base in namespace.get("__orig_bases__", ()):
        if isinstance(get_origin(base), MessageMeta):  # Synapse[Labels]
            (response,) = get_args(base)
            if isinstance(response, type) and issubclass(response, Message):
                return response
            if not isinstance(response, TypeVar):
                raise DeclarationError(f"Synapse[{response!r}]: the reply must be a Message class")
    return None


@dataclass_transform(frozen_default=True, kw_only_default=True)
class MessageMeta(msgspec.StructMeta):
    """Reads the keywords of a Synapse's class statement; see :class:`Synapse`."""

    __declaration__: Declaration | None

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        timeout: float | None = None,
        max_request: int | None = None,
        max_reply: int | None = None,
        path: str | None = None,
        stream: bool | None = None,
        chunk_timeout: float | None = None,
        max_chunk: int | None = None,
        idempotent: bool | None = None,
        **struct_options: Any,
    ) -> MessageMeta:
        said = {
            "timeout": timeout,
            "max_request": max_request,
            "max_reply": max_reply,
            "path": path,
            "stream": stream,
            "chunk_timeout": chunk_timeout,
            "max_chunk": max_chunk,
            "idempotent": idempotent,
        }
        cls = super().__new__(mcls, name, bases, namespace, **struct_options)
        _declare(cls, namespace, {key: value for key, value in said.items() if value is not None})
        return cls


class Message(msgspec.Struct, metaclass=MessageMeta, frozen=True, kw_only=True, eq=False):
    """A frozen record of typed fields that can travel.

    Fields may be of any type msgspec can encode (numbers, str, bytes, lists, dicts, Literal, Enum, other
    Messages …) or ``Annotated[Tensor, Spec(...)]``. Made by keyword. A tensor that does not fit its Spec
    raises BadTensor at once, on the side that made it. Torch tensors on the CPU are taken as arrays.
    """

    __declaration__: ClassVar[Declaration | None] = None
    __tensors__: ClassVar[Mapping[str, Spec | None] | None] = None

    def __post_init__(self) -> None:
        fields = tensor_fields(type(self))
        if fields:
            check_tensors(self, fields, {})

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in type(self).__struct_fields__)

    __hash__ = None  # type: ignore[assignment]


ResponseT = TypeVar("ResponseT", bound=Message, covariant=True)


class Synapse(Message, Generic[ResponseT]):
    """A message that asks a miner for a ``ResponseT``.

    Keywords of the class statement::

        class Classify(Synapse[Labels], timeout=5.0, max_request=4 * MiB): ...

    ``timeout`` (seconds, default 12), ``max_request`` and ``max_reply`` (bytes of body, default 16 MiB) and
    ``path`` (default: the class's name). Both ends hold them; they don't travel.

    ``stream=True`` has it answered with any number of ``ResponseT``, one after the other, with at most
    ``chunk_timeout`` seconds between two (default: the timeout, which is for all of them) and ``max_chunk`` bytes
    each (default 1 MiB); ``max_reply`` is for all together. ``idempotent=True`` says that a second peer may be
    asked for the same (:meth:`subnet.Dendrite.first`).
    """


def declaration(synapse: Synapse[Any] | type[Synapse[Any]]) -> Declaration:
    """The synapse's name, response type, timeout and limits; DeclarationError for a class that is none."""
    cls = synapse if isinstance(synapse, type) else type(synapse)
    found: Declaration | None = getattr(cls, "__declaration__", None)
    if found is None:
        raise DeclarationError(f"{cls.__name__} is no synapse; write class {cls.__name__}(Synapse[SomeReply])")
    return found


def tensor_fields(cls: type[Message]) -> Mapping[str, Spec | None]:
    """The class's tensor fields with their Spec (None: any dtype and shape). Cached on the class."""
    found = cls.__dict__.get("__tensors__")
    if found is None:
        found = _find_tensors(cls)
        cls.__tensors__ = found
    return found


def check_tensors(message: Message, fields: Mapping[str, Spec | None], known: Dims) -> None:
    """Check every tensor of ``message`` against its Spec, with the lengths ``known`` so far (added to)."""
    for name, spec in fields.items():
        value = getattr(message, name)
        if value is None:
            continue
        if type(value) is not np.ndarray or not value.dtype.isnative:
            value = _as_array(name, value)
            msgspec.structs.force_setattr(message, name, value)
        if spec is None:
            _check_dtype(name, value)
        else:
            spec.check(name, value, known)


def check_reply(request: Synapse[Any], reply: Message) -> None:
    """Raise WrongType or BadTensor unless ``reply`` is what ``request`` asked for, shared dimensions included."""
    wanted = declaration(request).response
    if not isinstance(reply, wanted):
        raise WrongType(f"{type(request).__name__} wants a {wanted.__name__}, got {type(reply).__name__}")
    for dim, asked, answered in _shared_dims(type(request), type(reply)):
        length, got = _length(request, asked), _length(reply, answered)
        if length is not None and got is not None and length != got:
            name, axis = answered[0]
            raise BadTensor(f"{name}: axis {axis} has length {got}, expected {dim!r} = {length}")


Places: TypeAlias = list[tuple[str, int]]


@cache
def _shared_dims(request: type[Message], reply: type[Message]) -> tuple[tuple[str, Places, Places], ...]:
    """The dimension names that both have, with the fields and axes where each has them.

    Within a message a name means one length already (it was checked when the message was made), so that one
    place on each side is enough to compare.
    """
    asked, answered = _named_dims(request), _named_dims(reply)
    return tuple((dim, asked[dim], answered[dim]) for dim in asked if dim in answered)


def _named_dims(cls: type[Message]) -> dict[str, Places]:
    places: dict[str, Places] = {}
    for name, spec in tensor_fields(cls).items():
        for axis, dim in enumerate(spec.dims or () if spec else ()):
            if isinstance(dim, str):
                places.setdefault(dim, []).append((name, axis))
    return places


def _length(message: Message, places: Places) -> int | None:
    """The length at the first of the places whose tensor is there (an optional one may be None)."""
    for name, axis in places:
        value = getattr(message, name)
        if value is not None:
            return int(value.shape[axis])
    return None


def _find_tensors(cls: type[Message]) -> dict[str, Spec | None]:
    found: dict[str, Spec | None] = {}
    for field in msgspec.structs.fields(cls):
        is_tensor, spec, nested = _read_annotation(field.type)
        if nested:
            raise DeclarationError(
                f"{cls.__name__}.{field.name}: a Spec stands directly on a field; give the tensor a Message of its own"
            )
        if is_tensor:
            found[field.name] = spec
    return found


def _read_annotation(annotation: Any) -> tuple[bool, Spec | None, bool]:
    """(is it a tensor or a tensor | None, its Spec, is there a Spec deeper inside)."""
    metadata = getattr(annotation, "__metadata__", ())
    inner = annotation.__origin__ if metadata else annotation
    spec = next((m for m in metadata if isinstance(m, Spec)), None)
    if inner is np.ndarray or get_origin(inner) is np.ndarray:
        return True, spec, False
    if spec is not None:
        raise DeclarationError(f"{annotation!r}: a Spec belongs on a Tensor")
    args = [arg for arg in get_args(inner) if arg is not type(None)]
    if len(args) == 1 and type(None) in get_args(inner):
        return _read_annotation(args[0])
    return False, None, any(_read_annotation(arg)[1] is not None for arg in args if not isinstance(arg, str))


def _check_dtype(name: str, value: Tensor) -> None:
    if value.dtype.name not in DTYPES:
        raise BadTensor(f"{name}: dtype {value.dtype} can't travel")


def _as_array(name: str, value: Any) -> Tensor:
    """A native-endian numpy array of the same values; BadTensor for what is no tensor."""
    if isinstance(value, np.ndarray):
        plain = value.view(np.ndarray)
        return plain if plain.dtype.isnative else plain.astype(plain.dtype.newbyteorder("="))
    if isinstance(value, np.generic):
        return np.asarray(value)
    torch = sys.modules.get("torch")  # looked up, never imported: a torch tensor can't exist without it
    if torch is not None and isinstance(value, torch.Tensor):
        try:
            return _from_torch(torch, value.detach().cpu())
        except (RuntimeError, TypeError) as error:  # sparse, quantized, without data, of a dtype that numpy lacks
            raise BadTensor(f"{name}: this torch tensor has no numpy form: {str(error)[:100]}") from None
    raise BadTensor(f"{name}: {type(value).__name__} is no tensor; pass a numpy array")


def _from_torch(torch: Any, value: Any) -> Tensor:
    if value.dtype is torch.bfloat16:
        import ml_dtypes

        return np.asarray(value.contiguous().view(torch.uint16).numpy()).view(ml_dtypes.bfloat16)
    return np.asarray(value.resolve_conj().resolve_neg().numpy())


def _same(mine: Any, theirs: Any) -> bool:
    if isinstance(mine, np.ndarray) and isinstance(theirs, np.ndarray):
        return mine.dtype == theirs.dtype and np.array_equal(mine, theirs)
    return bool(mine == theirs)
