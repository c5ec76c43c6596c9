"""One runtime version of a chain: its storage items, constants, calls and errors, by name, and its values.

Everything here comes from a :class:`~subnet.chain.schema.Schema`, so that reading needs neither
substrate-interface nor scalecodec. Only signing does: :attr:`Runtime.composer` loads them, with
metadata that the node gives at that moment, never with what a cache holds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from subnet.chain import values
from subnet.chain.calls import Call
from subnet.chain.schema import Pallet, Schema, Storage, Type
from subnet.chain.storage import CONCAT, Item, item_prefix
from subnet.errors import ChainError, NotASubtensor

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain.substrate import Composer

log = logging.getLogger(__name__)

PALLET = "SubtensorModule"
_ABSENT = "Check the spelling; or the chain's version does not have this feature."


class Runtime:
    """A runtime version and what can be said in it. Belongs to the session's thread.

    ``code`` is the hash of the chain's ``:code`` (None where the node does not tell it);
    ``compose`` makes the Composer. Raises NotASubtensor where there is no SubtensorModule.
    """

    def __init__(
        self, schema: Schema, spec_version: int, code: str | None, compose: Callable[[Runtime], Composer]
    ) -> None:
        if schema.pallet(PALLET) is None:
            raise NotASubtensor(f"the chain has no {PALLET} pallet")
        self.schema = schema
        self.spec_version = spec_version
        self.code = code
        self._compose = compose
        self._composer: Composer | None = None
        self.keys: dict[Any, str] = {}  # storage keys by entry, hashed once
        self._items: dict[tuple[str, str], Item | None] = {}

    @property
    def composer(self) -> Composer:
        """substrate-interface with this runtime's metadata; the first use takes a second or two."""
        if self._composer is None:
            self._composer = self._compose(self)
        return self._composer

    def replace(self, schema: Schema) -> None:
        """Go on with another schema of the same version."""
        self.schema = schema
        self.keys.clear()
        self._items.clear()

    # Storage

    def item(self, pallet: str, name: str) -> Item | None:
        """A storage item by name; None where this runtime does not have it (a feature that is off)."""
        known = (pallet, name)
        if known not in self._items:
            self._items[known] = self._find(pallet, name)
        return self._items[known]

    def _find(self, pallet: str, name: str) -> Item | None:
        found = self.schema.pallet(pallet)
        entry = _entry(found, name)
        if found is None or entry is None:
            return None
        return Item(pallet, name, item_prefix(found.prefix, name), tuple(entry.hashers), entry.default)

    def _storage(self, pallet: str, name: str) -> Storage:
        entry = _entry(self.schema.pallet(pallet), name)
        if entry is None:
            raise ChainError(f"this runtime has no storage item {pallet}.{name}", remedy=_ABSENT)
        return entry

    def storage_key(self, pallet: str, name: str, params: Sequence[Any]) -> str:
        """A storage key from plain values (ints, ss58 addresses), as 0x-hex. Raises ChainError."""
        parts, item = self.key_parts(pallet, name, params), self.item(pallet, name)
        if item is None or len(parts) != len(item.hashers):
            taken = len(self._storage(pallet, name).keys)
            raise ChainError(f"{pallet}.{name} can't be asked for {list(params)!r}: it takes {taken} keys")
        return item.key(*parts)

    def key_parts(self, pallet: str, name: str, params: Sequence[Any]) -> tuple[bytes, ...]:
        """The SCALE bytes of a map's first keys. Raises ChainError."""
        entry = self._storage(pallet, name)
        if len(params) > len(entry.keys):
            raise ChainError(f"{pallet}.{name} can't be asked for {list(params)!r}: it takes {len(entry.keys)} keys")
        try:
            return tuple(values.encode(self.schema, kind, one) for kind, one in zip(entry.keys, params, strict=False))
        except (ValueError, TypeError) as error:
            raise ChainError(f"{pallet}.{name} can't be asked for {list(params)!r}: {error}") from error

    def value(self, pallet: str, name: str, data: bytes | None, *, raw: bool = False) -> Any:
        """An entry's bytes as plain Python values (:mod:`subnet.chain.values`); ``raw`` keeps ``Vec<u8>`` as bytes.

        An absent entry reads as the item's default, or None where it has none.
        """
        entry = self._storage(pallet, name)
        data = entry.default if data is None else data
        return None if data is None else values.decode(self.schema, entry.value, data, raw=raw)

    def kind(self, pallet: str, name: str) -> Type:
        """The type of an item's values."""
        return self.schema.type(self._storage(pallet, name).value)

    def split_key(self, pallet: str, name: str, given: int, rest: bytes) -> tuple[Any, ...]:
        """A map's keys after the first ``given``, decoded from the end of a storage key. Raises ChainMalformed."""
        entry = self._storage(pallet, name)
        decoder, keys = values.Decoder(self.schema, rest), []
        for hasher, kind in zip(entry.hashers[given:], entry.keys[given:], strict=True):
            if hasher not in CONCAT:
                raise ChainError(f"the keys of {pallet}.{name} can't be read back: they are hashed by {hasher}")
            decoder.cursor.take(CONCAT[hasher])
            keys.append(decoder.value(kind))
        decoder.cursor.finish()
        return tuple(keys)

    def constant(self, pallet: str, name: str) -> Any:
        """A runtime constant, or None where this runtime does not have it."""
        found = self.schema.pallet(pallet)
        for constant in found.constants if found else ():
            if constant.name == name:
                return values.decode(self.schema, constant.type, constant.value)
        return None

    # Calls and errors

    def call_arguments(self, pallet: str, function: str) -> tuple[str, ...]:
        """The names of a call's arguments. Raises ChainError where this runtime has no such call."""
        found = self.schema.pallet(pallet)
        if found is not None and found.calls is not None:
            for call in self.schema.type(found.calls).variants:
                if call.name == function:
                    return tuple(field.name or "" for field in call.fields)
        raise ChainError(f"this runtime has no call {pallet}.{function}", remedy=_ABSENT)

    def encoded(self, call: Call) -> str:
        """A call as 0x-hex. Raises ChainError for arguments that it does not take."""
        return self.composer.encoded(self._plain(call))

    def signed(
        self,
        call: Call,
        key: Keypair,
        *,
        nonce: int,
        era: dict[str, int] | None,
        tip: int = 0,
        signature: bytes | None = None,
    ) -> str:
        """A signed extrinsic as 0x-hex; era None: immortal. Raises ChainError for arguments not taken.

        With ``signature`` the key signs nothing: these 64 bytes stand where its signature would.
        """
        return self.composer.signed(self._plain(call), key, nonce=nonce, era=era, tip=tip, signature=signature)

    def _plain(self, value: Any) -> Any:
        """A call and those in it as scalecodec takes them, each with the arguments that this runtime knows."""
        if isinstance(value, list):
            return [self._plain(one) for one in value]
        if not isinstance(value, Call):
            return value
        expected = self.call_arguments(value.pallet, value.function)
        given = {**value.params, **{name: one for name, one in value.optional.items() if name in expected}}
        if unknown := sorted(set(given) ^ set(expected)):
            raise ChainError(
                f"{value} takes {', '.join(expected) or 'no arguments'}, not {', '.join(sorted(given)) or 'none'}",
                remedy=f"Check {', '.join(unknown)}.",
            )
        params = {name: self._plain(one) for name, one in given.items()}
        return {"call_module": value.pallet, "call_function": value.function, "call_args": params}

    def error_name(self, dispatch_error: Any) -> tuple[str, str]:
        """(name, the runtime's own words) of a decoded DispatchError."""
        if isinstance(dispatch_error, str):
            return dispatch_error, ""
        if not isinstance(dispatch_error, Mapping) or not dispatch_error:
            return "Other", str(dispatch_error)
        kind, detail = next(iter(dispatch_error.items()))
        if kind != "Module":
            return (detail if isinstance(detail, str) else str(kind)), str(kind)
        if isinstance(detail, Mapping):
            module, error = detail["index"], detail["error"]
        else:
            module, error = detail[0], detail[1]
        number = int(error[2:4], 16) if isinstance(error, str) else int(error)
        for pallet in self.schema.pallets:
            if pallet.index == module and pallet.errors is not None:
                for variant in self.schema.type(pallet.errors).variants:
                    if variant.index == number:
                        return variant.name, variant.docs
        return f"Module{module}Error{number}", ""


def _entry(pallet: Pallet | None, name: str) -> Storage | None:
    return next((item for item in pallet.items if item.name == name), None) if pallet else None
