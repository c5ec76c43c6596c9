"""Jobs that sign: a call becomes an extrinsic under the account's next nonce, or an estimate of what it costs."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

from subnet.chain.calls import Call
from subnet.chain.scale import Cursor
from subnet.chain.sending import LONGEST, PERIOD, Estimate, Prepared
from subnet.chain.session import Session, block_hash, block_number
from subnet.errors import ChainMalformed
from subnet.keys import ss58_of
from subnet.types import Block, Rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

LOADING = 60.0
"""Seconds that substrate-interface may take for a full runtime's metadata on a slow, busy machine."""
_UNSIGNED = b"\0" * 64


def load_composer(session: Session) -> None:
    """A job: what signing needs, with a deadline of its own, since it may take longer than a call."""
    _ = session.runtime().composer


def sign(
    session: Session,
    call: Call,
    key: Keypair,
    taken: Container[int],
    *,
    period: int | None = PERIOD,
    nonce: int | None = None,
    tip: int = 0,
) -> Prepared:
    """The call under ``nonce``, or the account's next one that is not in ``taken``; mortal from the finalised block.

    Raises ChainError for what the runtime does not take, ValueError for a period that there can't be.
    """
    span = None if period is None else rounded(period)
    account = ss58_of(key.public_key)
    version, finalized, head, next_index = session.calls(
        [
            ("state_getRuntimeVersion", []),
            ("chain_getFinalizedHead", []),
            ("chain_getHeader", []),
            ("system_accountNextIndex", [account]),
        ]
    )
    number = block_number(head)
    birth = block_number(session.call("chain_getHeader", block_hash(finalized)))
    if span is not None:
        birth = max(birth, number - span // 4)  # a localnet may finalise late, or never
    chosen = _free(next_index, taken) if nonce is None else nonce
    era = None if span is None else {"period": span, "current": birth}
    return Prepared(
        call=str(call),
        data=session.runtime_of(version, None).signed(call, key, nonce=chosen, era=era, tip=tip),
        account=account,
        nonce=chosen,
        start=Block(birth + 1),
        dies=None if span is None else Block(birth + span),
        genesis=session.genesis or "",
    )


def rounded(period: int) -> int:
    """The period that an era can have: a power of two. ValueError beyond 4 to 2,048 blocks."""
    if not 4 <= period <= LONGEST:
        raise ValueError(f"a period has 4 to {LONGEST} blocks, not {period}; None is for ever")
    return 1 << (period - 1).bit_length()


def _free(next_index: Any, taken: Container[int]) -> int:
    if not isinstance(next_index, int) or not 0 <= next_index < 2**32:
        raise ChainMalformed(f"the node gives {str(next_index)[:40]!r} as a nonce")
    nonce = next_index
    while nonce in taken:
        nonce += 1
    return nonce


def estimate(
    session: Session, call: Call, key: Keypair, *, period: int | None = PERIOD, nonce: int | None = None, tip: int = 0
) -> Estimate:
    """What the call would cost. The node sees no valid signature: it could send what it was shown."""
    account = ss58_of(key.public_key)
    version, head, next_index = session.calls(
        [("state_getRuntimeVersion", []), ("chain_getHeader", []), ("system_accountNextIndex", [account])]
    )
    runtime = session.runtime_of(version, None)
    span = None if period is None else rounded(period)
    era = None if span is None else {"period": span, "current": block_number(head)}
    number = _free(next_index, ()) if nonce is None else nonce
    data = runtime.signed(call, key, nonce=number, era=era, tip=tip, signature=_UNSIGNED)
    size = len(data) // 2 - 1
    answer = session.call("state_call", "TransactionPaymentApi_query_info", data + size.to_bytes(4, "little").hex())
    ref_time, proof_size, fee = _dispatch_info(answer)
    return Estimate(str(call), runtime.encoded(call), account, number, Rao(fee), ref_time, proof_size)


def _dispatch_info(answer: Any) -> tuple[int, int, int]:
    """(ref_time, proof_size, fee) of a RuntimeDispatchInfo; balances of 8 bytes, as here, or 16, as elsewhere."""
    try:
        cursor = Cursor(bytes.fromhex(answer.removeprefix("0x")))
    except (AttributeError, ValueError):
        raise ChainMalformed("an answer to TransactionPaymentApi_query_info is no hex") from None
    ref_time, proof_size, kind = cursor.compact(), cursor.compact(), cursor.byte()
    if kind > 2 or cursor.left not in (8, 16):
        raise ChainMalformed("an answer to TransactionPaymentApi_query_info holds no fee")
    return ref_time, proof_size, int.from_bytes(cursor.take(cursor.left), "little")
