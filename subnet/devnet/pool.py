"""The pool: extrinsics that wait for a block, and why others may not.

:meth:`Pool.submit` makes every check a Substrate node makes before it takes an extrinsic, in the same
order, and refuses with the same JSON-RPC errors (1010 and its neighbours). The pool is bounded in
number and bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from subnet.devnet.chain import Chain
from subnet.devnet.extrinsic import Envelope, Extrinsic, unwrap, verify
from subnet.devnet.pallet import CallSpec, DispatchFailed
from subnet.devnet.pallets.balances import free
from subnet.devnet.pallets.subtensor_errors import BAD_REQUEST, POOL_CODES
from subnet.devnet.pallets.system import BLOCK_HASH_COUNT, System
from subnet.devnet.rpc import RpcError
from subnet.devnet.scale import Reader, ScaleError

MAX_COUNT = 8192
MAX_BYTES = 32 * 1024 * 1024
MAX_AHEAD = 4096  # nonces that a sender may be ahead of its account
MAX_WAIT = 600.0  # seconds that an extrinsic may wait for the nonces before it
MAX_FREE = 64 * 1024  # bytes of an extrinsic that pays no fee
MAX_BLOCK_BYTES = 5 * 1024 * 1024
MAX_BLOCK_COUNT = 2048
MAX_BLOCK_WEIGHT = 3 * 10**12  # picoseconds: three quarters of the real chain's four seconds


class Invalid(RpcError):
    """An extrinsic that is not valid (now); the pool's 1010."""

    def __init__(self, data: str) -> None:
        super().__init__(1010, "Invalid Transaction", data)


STALE = "Transaction is outdated"
FUTURE = "Transaction will be valid in the future"
BAD_PROOF = "Transaction has a bad signature"
ANCIENT = "Transaction has an ancient birth block"
EXHAUSTS = "Transaction would exhaust the block limits"
PAYMENT = "Inability to pay some fees (e.g. account balance too low)"


@dataclass(frozen=True)
class Pooled:
    extrinsic: Extrinsic
    order: int
    birth: int  # the block whose hash a mortal extrinsic was signed over
    since: float  # seconds, monotonic


class Pool:
    """Waiting extrinsics by sender and nonce."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.by_hash: dict[bytes, Pooled] = {}
        self._by_sender: dict[bytes, dict[int, Pooled]] = {}
        self.crowded_out: list[Extrinsic] = []  # for the node to tell about, and to clear
        self._bytes = 0
        self._order = 0

    def __len__(self) -> int:
        return len(self.by_hash)

    def submit(self, raw: bytes) -> tuple[Extrinsic, Extrinsic | None]:
        """Take an extrinsic in; returns it and the one it replaced, if any. RpcError says why not."""
        try:
            envelope = unwrap(raw)
            spec = self.chain.runtime.call_type.spec(Reader(envelope.body))
            if envelope.hash in self.by_hash:
                raise RpcError(1013, "Transaction Already Imported", f"(0x{envelope.hash.hex()})")
            self._check_envelope(envelope, spec)
            extrinsic = envelope.open()
        except (ScaleError, RecursionError) as error:
            raise RpcError(1002, "Verification Error: the extrinsic can't be decoded", str(error)) from None
        if self._weight(extrinsic) > MAX_BLOCK_WEIGHT:
            raise Invalid(EXHAUSTS)
        self._check_call(extrinsic)
        old = self._make_room(extrinsic)
        pooled = Pooled(extrinsic, self._order, extrinsic.era.birth(self.chain.head.number + 1), time.monotonic())
        self._order += 1
        self.by_hash[extrinsic.hash] = pooled
        self._by_sender.setdefault(extrinsic.signer, {})[extrinsic.nonce] = pooled
        self._bytes += len(raw)
        return extrinsic, old

    def _check_envelope(self, extrinsic: Envelope, spec: CallSpec) -> None:
        """All that can be said before the call is decoded, which is the most work; RpcError says why not."""
        if extrinsic.metadata_hash:
            raise RpcError(
                1011,
                "Unknown Transaction Validity",
                "Could not lookup information required to validate the transaction",
            )
        if not verify(extrinsic, self.chain.implicit(self._birth_hash(extrinsic))):
            raise Invalid(BAD_PROOF)
        nonce = self.nonce(extrinsic.signer)
        if extrinsic.nonce < nonce:
            raise Invalid(STALE)
        if extrinsic.nonce - nonce > MAX_AHEAD:
            raise Invalid(FUTURE)
        runtime, length = self.chain.runtime, len(extrinsic.raw)
        if not runtime.pays(spec) and length > MAX_FREE:
            raise Invalid(EXHAUSTS)
        fee = runtime.least_fee(spec, length, extrinsic.tip)
        if fee and free(self.chain.state, extrinsic.signer) < fee:
            raise Invalid(PAYMENT)

    def _weight(self, extrinsic: Extrinsic) -> int:
        return self.chain.runtime.weight(extrinsic.call)["ref_time"]

    def _check_call(self, extrinsic: Extrinsic) -> None:
        ctx = self.chain.context()
        if not self.chain.runtime.can_pay(ctx, extrinsic):
            raise Invalid(PAYMENT)
        check = extrinsic.call.spec.check
        if check is not None:
            try:
                check(ctx, extrinsic.signer, **extrinsic.call.args)
            except DispatchFailed as failure:
                code = POOL_CODES.get(failure.error, BAD_REQUEST)  # type: ignore[call-overload]
                raise Invalid(f"Custom error: {code}") from None

    def _birth_hash(self, extrinsic: Envelope) -> bytes:
        era, coming = extrinsic.era, self.chain.head.number + 1
        if not era.period:
            return self.chain.genesis_hash
        birth = era.birth(coming)
        found = None if birth < coming - BLOCK_HASH_COUNT else self.chain.hash_of(birth)
        if found is None:
            raise Invalid(ANCIENT)
        return found

    def _make_room(self, extrinsic: Extrinsic) -> Extrinsic | None:
        """Remove what the extrinsic replaces; RpcError if it may not, or if the pool is full."""
        old = self._by_sender.get(extrinsic.signer, {}).get(extrinsic.nonce)
        if old is not None:
            if extrinsic.tip <= old.extrinsic.tip:
                raise RpcError(
                    1014,
                    f"Priority is too low: ({old.extrinsic.tip} vs {extrinsic.tip})",
                    "The transaction has too low priority to replace another transaction already in the pool.",
                )
            self.remove(old.extrinsic)
            return old.extrinsic
        if not self._has_room(extrinsic) and extrinsic.nonce == self.next_nonce(extrinsic.signer):
            self._crowd_out()
        if not self._has_room(extrinsic):
            raise RpcError(1016, "Immediately Dropped", "The transaction couldn't enter the pool because of the limit")
        return None

    def _has_room(self, extrinsic: Extrinsic) -> bool:
        return len(self.by_hash) < MAX_COUNT and self._bytes + len(extrinsic.raw) <= MAX_BYTES

    def _crowd_out(self) -> None:
        """Remove all that waits for extrinsics before it: anybody can fill the pool with those."""
        for sender, waiting in list(self._by_sender.items()):
            missing = self.next_nonce(sender)
            for pooled in [one for nonce, one in waiting.items() if nonce > missing]:
                self.remove(pooled.extrinsic)
                self.crowded_out.append(pooled.extrinsic)

    def remove(self, extrinsic: Extrinsic) -> None:
        if self.by_hash.pop(extrinsic.hash, None) is None:
            return
        self._bytes -= len(extrinsic.raw)
        waiting = self._by_sender[extrinsic.signer]
        del waiting[extrinsic.nonce]
        if not waiting:
            del self._by_sender[extrinsic.signer]

    def nonce(self, who: bytes) -> int:
        """The account's nonce at the head."""
        return int(self.chain.state.get(System.Account, who)["nonce"])

    def next_nonce(self, who: bytes) -> int:
        """The nonce that the account's next extrinsic needs, after those that wait here."""
        nonce = self.nonce(who)
        waiting = self._by_sender.get(who, {})
        while nonce in waiting:
            nonce += 1
        return nonce

    def is_ready(self, extrinsic: Extrinsic) -> bool:
        """Whether nothing that has not arrived must come before it."""
        return extrinsic.nonce < self.next_nonce(extrinsic.signer)

    def ready(self) -> list[Extrinsic]:
        """What may go into the next block: by arrival, a sender's by nonce, within a block's limits."""
        chosen: list[Pooled] = []
        for sender, waiting in self._by_sender.items():
            latest = -1
            nonce = self.nonce(sender)
            while nonce in waiting:
                pooled = waiting[nonce]
                latest = max(latest, pooled.order)
                chosen.append(replace(pooled, order=latest))
                nonce += 1
        chosen.sort(key=lambda pooled: (pooled.order, pooled.extrinsic.nonce))
        taken, size, weight = [], 0, 0
        for pooled in chosen[:MAX_BLOCK_COUNT]:
            size += len(pooled.extrinsic.raw)
            weight += self._weight(pooled.extrinsic)
            if size > MAX_BLOCK_BYTES or weight > MAX_BLOCK_WEIGHT:
                break
            taken.append(pooled.extrinsic)
        return taken

    def still_valid(self, extrinsic: Extrinsic) -> bool:
        """Asked right before an extrinsic runs, when others of the same block have run."""
        pooled = self.by_hash.get(extrinsic.hash)
        if pooled is None or extrinsic.nonce != self.nonce(extrinsic.signer):
            return False
        if extrinsic.era.birth(self.chain.head.number + 1) != pooled.birth:
            return False
        try:
            self._check_call(extrinsic)
        except RpcError:
            return False
        return True

    def stale(self) -> list[Extrinsic]:
        """What can't become valid any more, after a block."""
        return [
            pooled.extrinsic
            for sender, waiting in self._by_sender.items()
            for nonce, pooled in waiting.items()
            if nonce < self.nonce(sender)
        ]

    def overdue(self) -> list[Extrinsic]:
        """What has waited for too long for the extrinsics that must come before it."""
        latest = time.monotonic() - MAX_WAIT
        return [
            one.extrinsic for one in self.by_hash.values() if one.since < latest and not self.is_ready(one.extrinsic)
        ]
