"""How a runtime API is declared: its methods, each with the SCALE types that it takes and returns, in one place.

    class SwapRuntimeApi(Api, version=1):
        \"\"\"Prices of alpha in TAO.\"\"\"

    @SwapRuntimeApi.method(U64)
    def current_alpha_price(view: View, netuid: netuid) -> int: ...

A method is called by ``SwapRuntimeApi_current_alpha_price``; its inputs are its arguments' annotations,
its docs its docstring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from subnet.devnet.context import Context
from subnet.devnet.pallet import Item, arguments
from subnet.devnet.scale import Reader, Scale, ScaleError
from subnet.devnet.state import State, Store

if TYPE_CHECKING:
    from subnet.devnet.runtime import Runtime

MAX_INPUT = 260 * 1024  # bytes: an extrinsic and its length
MAX_KEYS = 1 << 31

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass
class View(Context):
    """What a method sees: the state at the end of ``block``, which nothing it does may change."""

    runtime: Runtime = field(kw_only=True)


class PastState(State):
    """The state at the end of an older block, read from the store key by key."""

    def __init__(self, store: Store, block: int) -> None:
        super().__init__()
        self._store, self._block = store, block

    def read(self, key: bytes) -> bytes | None:
        return self._store.value(key, self._block)

    def keys(self, item: Item[Any], *first: Any) -> list[tuple[Any, ...]]:
        return [item.split(key) for key in self._store.page(item.key(*first), None, MAX_KEYS, self._block)]


@dataclass(frozen=True)
class Method:
    """One method of an API."""

    name: str
    docs: str
    inputs: dict[str, Scale[Any]]
    output: Scale[Any]
    function: Callable[..., Any]

    def run(self, view: View, data: bytes) -> bytes:
        """Decode the input to its last byte, run, encode the output; ScaleError for an input that can't be."""
        if len(data) > MAX_INPUT:
            raise ScaleError(f"{len(data)} bytes where at most {MAX_INPUT} are taken")
        reader = Reader(data)
        values = [scale.read(reader) for scale in self.inputs.values()]
        if reader.left:
            raise ScaleError(f"{reader.left} bytes too many")
        answer = self.function(view, *values)
        try:
            return self.output.encode(answer)
        except ScaleError as error:
            raise TypeError(f"{self.name} answers what its type can't hold: {error}") from error


class Api:
    """Base of all runtime APIs; a subclass is its declaration."""

    version: ClassVar[int]
    methods: ClassVar[dict[str, Method]]

    def __init_subclass__(cls, *, version: int, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.version, cls.methods = version, {}

    @classmethod
    def method(cls, output: Scale[Any]) -> Callable[[Function], Function]:
        """Declare a method: a function ``(view, *inputs)`` whose result encodes as ``output``."""

        def declare(function: Function) -> Function:
            docs = (function.__doc__ or "").strip()
            name = function.__name__
            cls.methods[name] = Method(name, docs, arguments(function, after=1), output, function)
            return function

        return declare

    @classmethod
    def identity(cls) -> bytes:
        """How the runtime version names the API: the hash of its name."""
        return blake2b(cls.__name__.encode(), digest_size=8).digest()


def exported(apis: Sequence[type[Api]]) -> dict[str, Method]:
    """All methods by the names that ``state_call`` takes."""
    return {f"{api.__name__}_{method.name}": method for api in apis for method in api.methods.values()}
