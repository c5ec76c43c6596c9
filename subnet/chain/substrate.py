"""One runtime version of a chain, through substrate-interface: metadata, keys, calls, signing, values.

:class:`Runtime` is a SubstrateInterface that is given its metadata instead of fetching it at
every turn: the session knows which version rules at which block. It goes by names (pallet, call,
item, error), never by indexes, because those move between versions. It is imported on the
connection's own thread, since substrate-interface takes a third of a second to import.

What scalecodec decodes here was sent by a stranger: :func:`_strict` bytes refuse to be read past
their end (scalecodec would read zeros), and vectors may not claim more elements than bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scalecodec.base import ScaleBytes
from scalecodec.exceptions import RemainingScaleBytesNotEmptyException
from scalecodec.types import FixedLengthArray, Vec
from substrateinterface import SubstrateInterface
from substrateinterface.storage import StorageKey

from subnet.chain.storage import Item, item_prefix
from subnet.errors import ChainError, ChainMalformed, NotASubtensor
from subnet.types import SS58_PREFIX

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain.transport import Transport

log = logging.getLogger(__name__)

MAX_METADATA = 8 * 1024 * 1024
"""Bytes of metadata that we are ready to decode; a full runtime's is under 1 MiB."""
PALLET = "SubtensorModule"


def _strict(data: str | bytes) -> ScaleBytes:
    """SCALE bytes that refuse to be read past their end.

    An instance with a method of its own, because scalecodec asserts the exact type.
    """
    strict = ScaleBytes(data)
    lenient = strict.get_next_bytes

    def get_next_bytes(length: int) -> bytearray:
        if length < 0 or strict.offset + length > len(strict.data):
            raise RemainingScaleBytesNotEmptyException("SCALE ends too early")
        return lenient(length)  # type: ignore[no-any-return]

    strict.get_next_bytes = get_next_bytes
    return strict


class _StrictVec(Vec):  # type: ignore[misc]
    def process(self) -> Any:
        start = self.data.offset
        count = self.process_type("Compact<u32>").value
        if count > self.data.get_remaining_length():
            raise RemainingScaleBytesNotEmptyException(f"a vector claims {count} elements")
        self.data.offset = start
        return super().process()


class _StrictArray(FixedLengthArray):  # type: ignore[misc]
    def process(self) -> Any:
        if int(self.element_count) > self.data.get_remaining_length():
            raise RemainingScaleBytesNotEmptyException(f"an array claims {self.element_count} elements")
        return super().process()


class Runtime(SubstrateInterface):  # type: ignore[misc]
    """A runtime version and what can be said in it. Belongs to the session's thread.

    Raises ChainMalformed where the metadata can't be decoded, NotASubtensor where it has no
    SubtensorModule.
    """

    def __init__(self, transport: Transport, metadata: object, version: Mapping[str, Any], genesis: str) -> None:
        super().__init__(
            websocket=object(),  # keeps substrate-interface from dialling
            ss58_format=SS58_PREFIX,
            use_remote_preset=False,
            auto_discover=False,
            auto_reconnect=False,
        )
        self.transport = transport
        self.genesis = genesis
        self._items: dict[tuple[str, str], Item | None] = {}
        try:
            self.runtime_version = int(version["specVersion"])
            self.transaction_version = int(version["transactionVersion"])
            self._decode(metadata)
        except ChainError:
            raise
        except Exception as error:  # scalecodec raises whatever the bytes make of it
            raise ChainMalformed(f"the chain's metadata can't be decoded: {error}") from error
        if self.metadata.get_metadata_pallet(PALLET) is None:
            raise NotASubtensor(f"the chain has no {PALLET} pallet")

    def _decode(self, metadata: object) -> None:
        if not isinstance(metadata, str) or len(metadata) > 2 * MAX_METADATA:
            raise ChainMalformed("the chain's metadata is missing or larger than we take")
        self._guard()
        decoder = self.runtime_config.create_scale_object("MetadataVersioned", data=_strict(metadata))
        decoder.decode()
        self.metadata = decoder
        if not self.implements_scaleinfo():
            raise ChainMalformed("the chain's metadata is older than V14")
        self.reload_type_registry(use_remote_preset=False, auto_discover=False)
        self._guard()
        self.runtime_config.add_portable_registry(self.metadata)
        self.runtime_config.set_active_spec_version_id(self.runtime_version)
        weight = "sp_weights::weight_v2::Weight"
        if self.runtime_config.get_decoder_class(weight) is not None:
            self.runtime_config.update_type_registry_types({"Weight": weight})

    def _guard(self) -> None:
        """Put the strict types into the registry, and remember composed ones.

        scalecodec makes a class anew for each ``Vec<..>`` or ``Compact<..>`` that it meets; with
        them remembered, metadata decodes in about half the time.
        """
        config, known = self.runtime_config, dict[str, Any]()
        config.type_registry["types"] |= {"vec": _StrictVec, "fixedlengtharray": _StrictArray}
        find = type(config).get_decoder_class

        def get_decoder_class(type_string: Any) -> Any:
            if not isinstance(type_string, str) or type_string[-1:] not in (">", "]", ")"):
                return find(config, type_string)
            found = known.get(type_string)
            if found is None and (found := find(config, type_string)) is not None:
                known[type_string] = found
            return found

        config.get_decoder_class = get_decoder_class

    def init_runtime(self, block_hash: str | None = None, block_id: int | None = None) -> None:
        """Nothing: this object is one runtime version, whichever block is spoken of."""

    def get_block_hash(self, block_id: int | None = None) -> str:
        """As substrate-interface's, but the genesis hash is known."""
        return self.genesis if block_id == 0 else super().get_block_hash(block_id)

    # Storage

    def item(self, pallet: str, name: str) -> Item | None:
        """A storage item by name; None where this runtime does not have it (a feature that is off)."""
        known = (pallet, name)
        if known not in self._items:
            self._items[known] = self._find(pallet, name)
        return self._items[known]

    def _find(self, pallet: str, name: str) -> Item | None:
        entry = self._entry(pallet, name)
        if entry is None:
            return None
        hashers = () if "Plain" in entry.value["type"] else tuple(entry.get_param_hashers())
        storage = self.metadata.get_metadata_pallet(pallet).value["storage"]
        optional = entry.value["modifier"] == "Optional"
        default = None if optional else bytes(entry.value_object["default"].value_object)
        return Item(pallet, name, item_prefix(storage["prefix"], name), hashers, default)

    def _entry(self, pallet: str, name: str) -> Any:
        found = self.metadata.get_metadata_pallet(pallet)
        if found is None or not found.value.get("storage"):
            return None
        return found.get_storage_function(name)

    def storage_key(self, pallet: str, name: str, params: Sequence[Any]) -> str:
        """A storage key from plain values (ints, ss58 addresses), by scalecodec. Raises ChainError."""
        if self._entry(pallet, name) is None:
            raise ChainError(
                f"this runtime has no storage item {pallet}.{name}",
                remedy="Check the spelling; or the chain's version does not have this feature.",
            )
        try:
            key = StorageKey.create_from_storage_function(
                pallet, name, list(params), runtime_config=self.runtime_config, metadata=self.metadata
            )
        except Exception as error:
            raise ChainError(f"{pallet}.{name} can't be asked for {list(params)!r}: {error}") from error
        return str(key.to_hex())

    def value(self, pallet: str, name: str, data: bytes | None) -> Any:
        """An entry's bytes as plain Python values; absent entries read as the item's default or None."""
        entry = self._entry(pallet, name)
        item = self.item(pallet, name)
        if entry is None or item is None:
            raise ChainError(f"this runtime has no storage item {pallet}.{name}")
        data = item.default if data is None else data
        return None if data is None else self.decode_bytes(entry.get_value_type_string(), data)

    def decode_bytes(self, type_string: str, data: bytes) -> Any:
        """SCALE bytes of a type as plain Python values. Raises ChainMalformed."""
        try:
            value = self.runtime_config.create_scale_object(type_string, data=_strict(data), metadata=self.metadata)
            return value.decode()
        except Exception as error:
            raise ChainMalformed(f"a value of {type_string} can't be decoded: {error}") from error

    def constant(self, pallet: str, name: str) -> Any:
        """A runtime constant, or None where this runtime does not have it."""
        found = self.metadata.get_metadata_pallet(pallet)
        for constant in (found and found.constants) or ():
            if constant.value["name"] == name:
                return self.decode_bytes(constant.type, bytes(constant.constant_value.data.data))
        return None

    # Calls and errors

    def call_arguments(self, pallet: str, function: str) -> tuple[str, ...]:
        """The names of a call's arguments. Raises ChainError where this runtime has no such call."""
        found = self.metadata.get_metadata_pallet(pallet)
        for call in (found and found.calls) or ():
            if call.name == function:
                return tuple(argument.name for argument in call.args)
        raise ChainError(
            f"this runtime has no call {pallet}.{function}",
            remedy="Check the spelling; or the chain's version does not have this feature.",
        )

    def signed(
        self,
        pallet: str,
        function: str,
        params: Mapping[str, Any],
        key: Keypair,
        *,
        nonce: int,
        era: dict[str, int],
    ) -> str:
        """A signed extrinsic as 0x-hex. Raises ChainError for arguments that the call does not take."""
        expected = self.call_arguments(pallet, function)
        if unknown := sorted(set(params) ^ set(expected)):
            raise ChainError(
                f"{pallet}.{function} takes {', '.join(expected) or 'no arguments'}, not {', '.join(sorted(params))}",
                remedy=f"Check {', '.join(unknown)}.",
            )
        try:
            call = self.compose_call(pallet, function, dict(params))
            return str(self.create_signed_extrinsic(call, key, era=era, nonce=nonce).data.to_hex())
        except ChainError:
            raise
        except Exception as error:
            raise ChainError(
                f"{pallet}.{function} can't be encoded: {error}", remedy="Check the arguments' values."
            ) from error

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
        for pallet in self.metadata.pallets:
            if pallet.value["index"] == module:
                for variant in pallet.errors or ():
                    if variant.value["index"] == number:
                        return str(variant.name), " ".join(variant.docs)
        return f"Module{module}Error{number}", ""
