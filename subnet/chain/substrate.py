"""Extrinsics composed and signed by substrate-interface, for one runtime version.

:class:`Composer` is a SubstrateInterface that is given its metadata instead of fetching it at every
turn. It is made when something is first signed (:attr:`subnet.chain.runtime.Runtime.composer`), on the
connection's own thread, since substrate-interface takes a third of a second to import and scalecodec a
second or two for a full runtime's metadata. It goes by names, never by indexes.

What scalecodec decodes here was sent by a stranger: :func:`_strict` bytes refuse to be read past
their end (scalecodec would read zeros), and vectors may not claim more elements than bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from scalecodec.base import ScaleBytes
from scalecodec.exceptions import RemainingScaleBytesNotEmptyException
from scalecodec.types import FixedLengthArray, Vec
from substrateinterface import SubstrateInterface

from subnet.chain.schema import MAX_METADATA
from subnet.errors import ChainError, ChainMalformed
from subnet.types import SS58_PREFIX

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.chain.transport import Transport


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


class Composer(SubstrateInterface):  # type: ignore[misc]
    """Composes and signs the calls of one runtime version. Belongs to the session's thread.

    Raises ChainMalformed where the metadata can't be decoded.
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
        try:
            self.runtime_version = int(version["specVersion"])
            self.transaction_version = int(version["transactionVersion"])
            self._decode(metadata)
        except ChainError:
            raise
        except Exception as error:  # scalecodec raises whatever the bytes make of it
            raise ChainMalformed(f"the chain's metadata can't be decoded: {error}") from error

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

    def encoded(self, call: Mapping[str, Any]) -> str:
        """A call (``call_module``, ``call_function``, ``call_args``) as 0x-hex. Raises ChainError."""
        return str(self._composed(call).data.to_hex())

    def signed(
        self,
        call: Mapping[str, Any],
        key: Keypair,
        *,
        nonce: int,
        era: dict[str, int] | None,
        tip: int,
        signature: bytes | None,
    ) -> str:
        """A signed extrinsic as 0x-hex. Raises ChainError for values that the call does not take."""
        composed = self._composed(call)
        ready = None if signature is None else "0x" + signature.hex()
        try:
            extrinsic = self.create_signed_extrinsic(composed, key, era=era, nonce=nonce, tip=tip, signature=ready)
            return str(extrinsic.data.to_hex())
        except ChainError:
            raise
        except Exception as error:
            raise ChainError(f"the call can't be signed: {error}", remedy="Check nonce, tip and period.") from error

    def _composed(self, call: Mapping[str, Any]) -> Any:
        module, function = call["call_module"], call["call_function"]
        try:
            return self.compose_call(module, function, call["call_args"])
        except ChainError:
            raise
        except Exception as error:
            raise ChainError(
                f"{module}.{function} can't be encoded: {error}", remedy="Check the arguments' values."
            ) from error
