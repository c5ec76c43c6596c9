"""How a pallet is declared: storage items, calls, events, errors and constants, each in one place.

    class Balances(Pallet, index=5, rust="pallet_balances"):
        errors = Error                                    # an IntEnum
        TotalIssuance = Item(U64)                         # storage: value type, keys, default
        Transfer = Event(2, **{"from": ACCOUNT}, to=ACCOUNT, amount=U64)
        ExistentialDeposit = Constant(U64, 500)

    @Balances.call(3)
    def transfer_keep_alive(ctx: Context, who: bytes, dest: address, value: compact_u64) -> None: ...

From that alone come storage keys, the metadata (:mod:`subnet.devnet.metadata`), the decoding and
dispatch of calls (:mod:`subnet.devnet.runtime`), events and dispatch errors. A call's SCALE types are
its annotations (the ``Annotated`` names of :mod:`subnet.devnet.scale`); its docstring is its docs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast, get_type_hints

from subnet.devnet.hashing import Hasher, twox128
from subnet.devnet.scale import Reader, Scale, ScaleError

if TYPE_CHECKING:
    from subnet.devnet.context import Context

T = TypeVar("T")
Key = tuple[Hasher, Scale[Any]]
Origin = Literal["signed", "root", "any", "none"]
PREFIX = 32  # bytes of a storage key that name pallet and item


class Item(Generic[T]):
    """A storage item: a plain value, or a map when ``keys`` are given.

    An item that was never written reads as ``default`` (zero, or empty, of its type).
    """

    name = ""
    pallet = ""
    prefix = b""
    optional = False

    def __init__(self, value: Scale[T], *keys: Key, default: T | None = None, docs: str = "") -> None:
        self.value = value
        self.keys = keys
        self.docs = docs
        self.default_bytes = bytes(value.smallest) if default is None else value.encode(default)

    def bind(self, pallet: str, name: str) -> None:
        self.pallet, self.name = pallet, name
        self.prefix = twox128(pallet.encode()) + twox128(name.encode())

    def key(self, *keys: Any) -> bytes:
        """The full storage key; fewer keys than the map has give the prefix they share."""
        hashed = (hasher.hash(scale.encode(one)) for (hasher, scale), one in zip(self.keys, keys, strict=False))
        return self.prefix + b"".join(hashed)

    def split(self, key: bytes) -> tuple[Any, ...]:
        """The map's keys out of a full storage key (all our hashers keep the key readable)."""
        reader = Reader(key, PREFIX)
        found = []
        for hasher, scale in self.keys:
            reader.take(hasher.prefix)
            found.append(scale.read(reader))
        return tuple(found)

    def default(self) -> T:
        return self.value.decode(self.default_bytes)


class Maybe(Item[T | None]):
    """A storage item that reads as None until it is written (``OptionQuery``)."""

    optional = True

    def __init__(self, value: Scale[T], *keys: Key, docs: str = "") -> None:
        super().__init__(cast("Scale[T | None]", value), *keys, docs=docs)
        self.default_bytes = b"\0"

    def default(self) -> T | None:
        return None


class Event:
    """An event by its number; fields by position (as most of SubtensorModule's) or by name."""

    name = ""
    pallet: Pallet

    def __init__(self, index: int, /, *types: Scale[Any], docs: str = "", **named: Scale[Any]) -> None:
        self.index, self.docs = index, docs
        self.fields: list[tuple[str | None, Scale[Any]]] = [(None, scale) for scale in types]
        self.fields += list(named.items())

    def called(self, name: str) -> Event:
        """Its name, where the attribute must have another: an item or an event of the pallet has that."""
        self.name = name
        return self

    def encode(self, values: tuple[Any, ...]) -> bytes:
        if len(values) != len(self.fields):
            raise ScaleError(f"event {self.name} has {len(self.fields)} fields, {len(values)} given")
        body = b"".join(scale.encode(value) for (_, scale), value in zip(self.fields, values, strict=True))
        return bytes([self.pallet.index, self.index]) + body


@dataclass(frozen=True)
class Constant:
    scale: Scale[Any]
    value: Any
    docs: str = ""

    def encode(self) -> bytes:
        return self.scale.encode(self.value)


@dataclass
class CallSpec:
    """A dispatchable: its number, its arguments, who may send it and whether it costs a fee."""

    index: int
    function: Callable[..., None]
    pays: bool
    origin: Origin
    name: str
    docs: str
    args: dict[str, Scale[Any]]
    check: Callable[..., None] | None = None
    each: str = ""
    pallet: Pallet | None = None

    def read(self, reader: Reader) -> dict[str, Any]:
        return {name: scale.read(reader) for name, scale in self.args.items()}

    def encode(self, args: dict[str, Any]) -> bytes:
        return b"".join(scale.encode(args[name]) for name, scale in self.args.items())


Function = TypeVar("Function", bound=Callable[..., None])


class DispatchFailed(Exception):
    """A call that ends with a pallet's error: its changes are undone, its events dropped."""

    def __init__(self, error: IntEnum) -> None:
        super().__init__(error.name)
        self.error = error


class TokenFailed(Exception):
    """A balance that does not suffice (``DispatchError::Token``)."""


class BadOrigin(Exception):
    """A call that its sender may not send (``DispatchError::BadOrigin``)."""


def ensure(condition: object, error: IntEnum) -> None:
    """Raise DispatchFailed(error) unless the condition holds."""
    if not condition:
        raise DispatchFailed(error)


def arguments(function: Callable[..., Any], *, after: int) -> dict[str, Scale[Any]]:
    """The SCALE types that a function's arguments are annotated with, the first ``after`` left out."""
    hints = get_type_hints(function, include_extras=True)
    names = function.__code__.co_varnames[after : function.__code__.co_argcount]
    return {name: hints[name].__metadata__[0] for name in names}


class Pallet:
    """Base of all pallets; a subclass is its declaration and is instantiated once, by the runtime."""

    index: ClassVar[int]
    name: ClassVar[str]
    rust: ClassVar[str]
    errors: ClassVar[type[IntEnum] | None] = None
    storage: dict[str, Item[Any]]
    events: ClassVar[dict[str, Event]]
    calls: ClassVar[dict[int, CallSpec]]
    constants: ClassVar[dict[str, Constant]]
    hooks: ClassVar[list[Callable[[Context], None]]]

    def __init_subclass__(cls, *, index: int, rust: str, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.index, cls.rust, cls.name = index, rust, cls.__name__
        cls.storage, cls.events, cls.calls, cls.constants, cls.hooks = {}, {}, {}, {}, []
        for name, value in vars(cls).items():
            cls._collect(name, value)

    @classmethod
    def _collect(cls, name: str, value: Any) -> None:
        if isinstance(value, Item):
            value.bind(cls.name, name)
            cls.storage[name] = value
        elif isinstance(value, Event):
            value.name = value.name or name
            cls.events[value.name] = value
        elif isinstance(value, Constant):
            cls.constants[name] = value

    @classmethod
    def call(
        cls,
        index: int,
        *,
        pays: bool = True,
        origin: Origin = "signed",
        check: Callable[..., None] | None = None,
        each: str = "",
    ) -> Callable[[Function], Function]:
        """Declare a call: a function ``(ctx, who, *args)``.

        ``origin`` "signed" passes the signer, "root" None, "any" either; "none" is for inherents.
        ``check`` takes the same arguments and raises DispatchFailed for what the pool must refuse at once.
        ``each`` names the list whose every element is as much work as a call.
        """

        def declare(function: Function) -> Function:
            docs = (function.__doc__ or "").strip()
            args = arguments(function, after=2)
            cls.add_call(CallSpec(index, function, pays, origin, function.__name__, docs, args, check, each))
            return function

        return declare

    @classmethod
    def on_initialize(cls, function: Callable[[Context], None]) -> Callable[[Context], None]:
        """Declare what the pallet does at the start of each block, before its extrinsics."""
        cls.hooks.append(function)
        return function

    @classmethod
    def add_call(cls, spec: CallSpec) -> None:
        if spec.index in cls.calls:
            raise ValueError(f"{cls.name} has two calls numbered {spec.index}")
        cls.calls[spec.index] = spec

    def __init__(self) -> None:
        for event in self.events.values():
            event.pallet = self
        for spec in self.calls.values():
            spec.pallet = self


@dataclass
class Call:
    """A decoded call: what to run, with which arguments, and the bytes it came as."""

    spec: CallSpec
    args: dict[str, Any]
    raw: bytes

    @property
    def pallet(self) -> Pallet:
        assert self.spec.pallet is not None  # noqa: S101 - set when the runtime is made
        return self.spec.pallet

    @property
    def name(self) -> str:
        return f"{self.pallet.name}.{self.spec.name}"

    def count(self) -> int:
        """How many calls it is as work: with those that it holds, or one for each item of a batch."""
        if self.spec.each:
            return max(1, len(self.args[self.spec.each]))
        held = (one for value in self.args.values() for one in (value if isinstance(value, list) else (value,)))
        return 1 + sum(one.count() for one in held if isinstance(one, Call))
