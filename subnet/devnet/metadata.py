"""Metadata of the runtime, derived from the declarations of pallets and runtime APIs.

:class:`Registry` turns SCALE types into numbered, deduplicated entries of a portable type registry;
:func:`metadata_v14` writes the pallets around it, :func:`metadata_v15` the runtime APIs as well. Clients
learn from it every storage key, hasher, call, event, error and constant there is, and from V15 what the
methods of ``state_call`` take and return.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from subnet.devnet import scale as s
from subnet.devnet.pallet import Item, Pallet
from subnet.devnet.runtime_api.declare import Api
from subnet.devnet.scale import Scale, Variant, compact

MAGIC = b"meta"
_PRIMITIVES = (
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


def text(value: str) -> bytes:
    data = value.encode()
    return compact(len(data)) + data


def vec(parts: Iterable[bytes]) -> bytes:
    listed = list(parts)
    return compact(len(listed)) + b"".join(listed)


def texts(value: str) -> bytes:
    return vec(text(line.strip()) for line in value.splitlines() if line.strip())


def type_name(scale: Scale[Any]) -> str:
    """What a field's type is called in Rust, roughly; clients show it."""
    match scale:
        case s.Lazy():
            return type_name(scale.resolve())
        case s.Int():
            return scale.name
        case s.BoolType():
            return "bool"
        case s.BytesType():
            return "Text" if scale.text else "Vec<u8>"
        case s.FixedBytes():
            return {"AccountId32": "T::AccountId"}.get(scale.path[-1], scale.path[-1]) if scale.path else "Bytes"
        case s.Compact() | s.Vec() | s.Option():
            return f"{type(scale).__name__}<{type_name(scale.inner)}>"
        case s.Bounded():
            return f"BoundedVec<{type_name(scale.element)}>"
        case s.Tuple():
            return f"({', '.join(map(type_name, scale.inner))})"
        case _:
            path: Sequence[str] = getattr(scale, "path", ())
            return path[-1] if path else type(scale).__name__


@dataclass
class Entry:
    """One type of the registry: its path, its parameters (name, type id or None) and its definition, encoded."""

    path: tuple[str, ...]
    definition: bytes
    params: tuple[tuple[str, int | None], ...] = ()

    def encode(self) -> bytes:
        params = (text(name) + (b"\0" if number is None else b"\1" + compact(number)) for name, number in self.params)
        return vec(map(text, self.path)) + vec(params) + self.definition + vec(())


@dataclass
class Registry:
    """Portable type registry: types are numbered as they are first met."""

    entries: list[Entry] = field(default_factory=list)
    _known: dict[Any, int] = field(default_factory=dict)
    _seen: dict[int, tuple[int, Scale[Any]]] = field(default_factory=dict)

    def add(self, entry: Entry) -> int:
        key = (entry.path, entry.definition, entry.params)
        if key not in self._known:
            self._known[key] = len(self.entries)
            self.entries.append(entry)
        return self._known[key]

    def reserve(self, scale: Scale[Any]) -> int:
        """A number for a type that contains itself; :meth:`fill` gives its definition."""
        number = len(self.entries)
        self.entries.append(Entry((), b""))
        self._seen[id(scale)] = (number, scale)
        return number

    def fill(self, number: int, entry: Entry) -> None:
        self.entries[number] = entry

    def encode(self) -> bytes:
        return vec(compact(number) + entry.encode() for number, entry in enumerate(self.entries))

    def primitive(self, name: str) -> int:
        return self.add(Entry((), bytes([5, _PRIMITIVES.index(name)])))

    def sequence(self, inner: int) -> int:
        return self.add(Entry((), b"\2" + compact(inner)))

    def composite(self, path: Sequence[str], fields: s.Fields, params: Sequence[tuple[str, int | None]] = ()) -> int:
        return self.add(Entry(tuple(path), b"\0" + self.fields(fields), tuple(params)))

    def fields(self, fields: s.Fields) -> bytes:
        encoded = []
        for name, scale in fields:
            # a trailing underscore is Python's: class_ and from_ are class and from
            label = b"\0" if name is None else b"\1" + text(name.rstrip("_"))
            encoded.append(label + compact(self.of(scale)) + b"\1" + text(type_name(scale)) + vec(()))
        return vec(encoded)

    def variants(self, variants: Sequence[Variant]) -> bytes:
        """The definition of a variant type, sorted by index as clients expect."""
        ordered = sorted(variants, key=lambda variant: variant.index)
        return b"\1" + vec(
            text(one.name) + self.fields(one.fields) + bytes([one.index]) + texts(one.docs) for one in ordered
        )

    def of(self, scale: Scale[Any]) -> int:
        """The number of a type; the same object and the same shape give the same number."""
        seen = self._seen.get(id(scale))
        if seen is None:
            number = self._describe(scale)
            seen = self._seen.setdefault(id(scale), (number, scale))
        return seen[0]

    def _describe(self, scale: Scale[Any]) -> int:
        match scale:
            case s.Lazy():
                return self.of(scale.resolve())
            case s.Int():
                return self.primitive(scale.name)
            case s.BoolType():
                return self.primitive("bool")
            case s.BytesType():
                return self.primitive("str") if scale.text else self.sequence(self.primitive("u8"))
            case s.FixedBytes():
                array = self.add(Entry((), b"\3" + scale.size.to_bytes(4, "little") + compact(self.primitive("u8"))))
                return self._wrap(scale.path, array) if scale.path else array
            case s.Compact():
                return self.add(Entry((), b"\6" + compact(self.of(scale.inner))))
            case s.Vec():
                return self.sequence(self.of(scale.inner))
            case s.Bounded():
                return self.composite(scale.path, [(None, scale.inner)], (("T", self.of(scale.element)), ("S", None)))
            case s.Tuple():
                return self.add(Entry((), b"\4" + vec(compact(self.of(part)) for part in scale.inner)))
            case s.Struct():
                return self.composite(scale.path, list(scale.fields.items()), self._params(scale.params))
            case s.Named():
                return self.composite(scale.path, [(None, scale.inner)], self._params(scale.params))
            case _:
                return self._describe_variant(scale)

    def _params(self, params: Mapping[str, Scale[Any]]) -> tuple[tuple[str, int | None], ...]:
        return tuple((name, self.of(scale)) for name, scale in params.items())

    def _wrap(self, path: Sequence[str], inner: int) -> int:
        one = compact(1) + b"\0" + compact(inner) + b"\0" + vec(())
        return self.add(Entry(tuple(path), b"\0" + one))

    def _describe_variant(self, scale: Scale[Any]) -> int:
        if isinstance(scale, s.Option):
            arms = [Variant("None", 0), Variant("Some", 1, [(None, scale.inner)])]
            return self.add(Entry(("Option",), self.variants(arms), (("T", self.of(scale.inner)),)))
        if isinstance(scale, s.Enum):
            return self.add(Entry(scale.path, self.variants(scale.variants), self._params(scale.params)))
        number = self.reserve(scale)
        self.fill(number, Entry(scale.path, self.variants(scale.arms)))  # type: ignore[attr-defined]
        return number


class PalletTypes:
    """The types that a pallet contributes: its Call, Event and Error enums."""

    def __init__(self, pallet: Pallet, *, bare: bool = False) -> None:
        """``bare`` leaves out the underscore of arguments that head does not use any more, and older runtimes did."""
        base = f"{pallet.rust}::pallet"
        calls = []
        for spec in pallet.calls.values():
            args = [(name.lstrip("_") if bare else name, scale) for name, scale in spec.args.items()]
            calls.append(Variant(spec.name, spec.index, args, spec.docs))
        events = [Variant(e.name, e.index, e.fields, e.docs) for e in pallet.events.values()]
        errors = [Variant(error.name, error.value) for error in pallet.errors or ()]
        self.calls = s.Enum(f"{base}::Call", calls) if calls else None
        self.events = s.Enum(f"{base}::Event", events) if events else None
        self.errors = s.Enum(f"{base}::Error", errors) if errors else None


def _storage(registry: Registry, item: Item[Any]) -> bytes:
    value = compact(registry.of(item.value))
    if item.keys:
        hashers = vec(bytes([hasher.index]) for hasher, _ in item.keys)
        scales = [scale for _, scale in item.keys]
        key = registry.of(scales[0]) if len(scales) == 1 else registry.of(s.Tuple(*scales))
        kind = b"\1" + hashers + compact(key) + value
    else:
        kind = b"\0" + value
    default = item.default_bytes
    modifier = b"\0" if item.optional else b"\1"
    return text(item.name) + modifier + kind + compact(len(default)) + default + texts(item.docs)


def _pallet(registry: Registry, pallet: Pallet, types: PalletTypes) -> bytes:
    parts = [text(pallet.name)]
    if pallet.storage:
        items = vec(_storage(registry, item) for item in pallet.storage.values())
        parts.append(b"\1" + text(pallet.name) + items)
    else:
        parts.append(b"\0")
    for scale in (types.calls, types.events):
        parts += [b"\0" if scale is None else b"\1" + compact(registry.of(scale))]
    constants = []
    for name, constant in pallet.constants.items():
        data = constant.encode()
        number = compact(registry.of(constant.scale))
        constants.append(text(name) + number + compact(len(data)) + data + texts(constant.docs))
    parts.append(vec(constants))
    parts.append(b"\0" if types.errors is None else b"\1" + compact(registry.of(types.errors)))
    return b"".join(parts) + bytes([pallet.index])


@dataclass(frozen=True)
class SignedExtension:
    """A signed extension: its name, what it adds to the extrinsic and what to the signed payload."""

    name: str
    extra: Scale[Any]
    additional: Scale[Any]


@dataclass(frozen=True)
class ExtrinsicFormat:
    """Types of an extrinsic's parts; ``unchecked`` has them as Address, Call, Signature and Extra."""

    unchecked: s.Named[Any]
    extensions: tuple[SignedExtension, ...]
    version: int = 4


_RUNTIME = s.Struct("node_subtensor_runtime::Runtime")


def _extensions(registry: Registry, extrinsic: ExtrinsicFormat) -> bytes:
    return vec(
        text(one.name) + compact(registry.of(one.extra)) + compact(registry.of(one.additional))
        for one in extrinsic.extensions
    )


def metadata_v14(pallets: Sequence[Pallet], types: Sequence[PalletTypes], extrinsic: ExtrinsicFormat) -> bytes:
    """``meta`` + 14 + registry, pallets, extrinsic and the runtime's own type, as state_getMetadata returns it."""
    registry = Registry()
    listed = vec(_pallet(registry, pallet, own) for pallet, own in zip(pallets, types, strict=True))
    kind = registry.of(extrinsic.unchecked)
    extensions = _extensions(registry, extrinsic)
    runtime = registry.of(_RUNTIME)
    tail = compact(kind) + bytes([extrinsic.version]) + extensions + compact(runtime)
    return MAGIC + bytes([14]) + registry.encode() + listed + tail


def metadata_v15(
    pallets: Sequence[Pallet],
    types: Sequence[PalletTypes],
    extrinsic: ExtrinsicFormat,
    apis: Sequence[type[Api]],
    enums: Sequence[Scale[Any]],
) -> bytes:
    """``meta`` + 15 + what V14 has, docs of pallets, runtime APIs, and ``enums``: RuntimeCall, -Event and -Error."""
    registry = Registry()
    listed = vec(
        _pallet(registry, pallet, own) + texts(inspect.cleandoc(vars(type(pallet)).get("__doc__") or ""))
        for pallet, own in zip(pallets, types, strict=True)
    )
    parts = (extrinsic.unchecked.params[name] for name in ("Address", "Call", "Signature", "Extra"))
    signing = bytes([extrinsic.version]) + b"".join(compact(registry.of(part)) for part in parts)
    signing += _extensions(registry, extrinsic)
    runtime = compact(registry.of(_RUNTIME))
    methods = vec(_api(registry, api) for api in apis)
    outer = b"".join(compact(registry.of(scale)) for scale in enums)
    return MAGIC + bytes([15]) + registry.encode() + listed + signing + runtime + methods + outer + vec(())


def _api(registry: Registry, api: type[Api]) -> bytes:
    methods = []
    for method in api.methods.values():
        inputs = vec(text(name) + compact(registry.of(scale)) for name, scale in method.inputs.items())
        methods.append(text(method.name) + inputs + compact(registry.of(method.output)) + texts(method.docs))
    return text(api.__name__) + vec(methods) + texts(inspect.cleandoc(api.__doc__ or ""))
