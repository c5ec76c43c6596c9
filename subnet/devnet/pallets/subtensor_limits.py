"""Rate limits on what a key, or a subnet's owner, may do: when it was last done, and how long to wait.

``TransactionKeyLastBlock`` keeps the block by key, subnet and kind; an owner's hyperparameters are kept by
subnet and name in ``LastRateLimitedBlock``. The first time is always free.
"""

from __future__ import annotations

from typing import Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error

# kinds, as the runtime numbers them
SET_CHILDREN, SET_CHILDKEY_TAKE, SET_WEIGHTS_VERSION_KEY = 0, 1, 4
MECHANISM_COUNT, MECHANISM_EMISSION, TRIM_UIDS, TEMPO = 7, 8, 9, 11
SET_CHILDREN_EVERY = 150  # blocks
SN_OWNER_HOTKEY_EVERY = 50_400
MECHANISMS_EVERY = 1  # 7,200 on the real chain; this is its fast build's
TRIM_EVERY = 1  # 216,000 on the real chain, likewise


def passes(ctx: Context, last: int, limit: int) -> bool:
    """Whether ``limit`` blocks have passed since block ``last``; 0 is never."""
    return last == 0 or ctx.block - last >= limit


def limit_key(ctx: Context, key: bytes, netuid: int, kind: int, limit: int, error: Error) -> None:
    """Refuse with ``error`` what the key did on the subnet less than ``limit`` blocks ago."""
    ensure(passes(ctx, ctx.state.get(S.TransactionKeyLastBlock, key, netuid, kind), limit), error)


def record_key(ctx: Context, key: bytes, netuid: int, kind: int) -> None:
    ctx.state.put(S.TransactionKeyLastBlock, key, netuid, kind, to=ctx.block)


def _owner_key(netuid: int, name: str) -> tuple[str, Any]:
    return "OwnerHyperparamUpdate", (netuid, (name, None))


def limit_owner(ctx: Context, netuid: int, name: str) -> None:
    """Refuse an owner's second change of a hyperparameter within OwnerHyperparamRateLimit tempos."""
    limit = ctx.state.get(S.OwnerHyperparamRateLimit) * ctx.state.get(S.Tempo, netuid)
    last = ctx.state.get(S.LastRateLimitedBlock, _owner_key(netuid, name))
    ensure(passes(ctx, last, limit), Error.TxRateLimitExceeded)


def record_owner(ctx: Context, netuid: int, name: str) -> None:
    ctx.state.put(S.LastRateLimitedBlock, _owner_key(netuid, name), to=ctx.block)
