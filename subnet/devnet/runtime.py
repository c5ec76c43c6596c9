"""The runtime: all pallets together, as one machine that decodes calls, runs them and builds blocks' states.

:func:`runtime` makes it once per process. What a client needs to know of it is ``RUNTIME.metadata``,
derived from the same declarations that calls are decoded and run by.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from subnet.devnet import scale as s
from subnet.devnet.context import Context, DispatchError, TempoRule
from subnet.devnet.extrinsic import FORMAT, Extrinsic
from subnet.devnet.metadata import PalletTypes, metadata_v14, metadata_v15
from subnet.devnet.pallet import PREFIX, BadOrigin, Call, CallSpec, DispatchFailed, Item, Pallet, TokenFailed
from subnet.devnet.pallets import (  # noqa: F401 - they declare SubtensorModule's calls
    subtensor_children,
    subtensor_coinbase,
    subtensor_commits,
    subtensor_delegation,
    subtensor_identity,
    subtensor_networks,
    subtensor_registration,
    subtensor_serving,
    subtensor_staking,
    subtensor_transitions,
    subtensor_weights,
)
from subnet.devnet.pallets.admin import AdminUtils
from subnet.devnet.pallets.balances import Balances, burn, free, mint_if_it_fits
from subnet.devnet.pallets.commitments import Commitments
from subnet.devnet.pallets.shield import MevShield
from subnet.devnet.pallets.subtensor import SubtensorModule
from subnet.devnet.pallets.system import Aura, System, Timestamp, TransactionPayment, set_event_type
from subnet.devnet.pallets.utility import InnerFailed, Sudo, Utility, set_call_type
from subnet.devnet.runtime_api import core, metagraph, neurons, prices, stake, subnets  # noqa: F401 - metagraph declares
from subnet.devnet.runtime_api.declare import Api, exported
from subnet.devnet.scale import Reader, Scale, ScaleError, Variant

logger = logging.getLogger(__name__)

BASE_WEIGHT = 250_000_000  # picoseconds of a call here; the real chain measures each
PALLETS: tuple[type[Pallet], ...] = (
    System,
    Timestamp,
    Aura,
    Balances,
    TransactionPayment,
    SubtensorModule,
    Utility,
    Sudo,
    Commitments,
    AdminUtils,
    MevShield,
)
APIS: tuple[type[Api], ...] = (
    core.Core,
    core.Metadata,
    core.AccountNonceApi,
    core.TransactionPaymentApi,
    neurons.NeuronInfoRuntimeApi,
    subnets.SubnetInfoRuntimeApi,
    stake.StakeInfoRuntimeApi,
    stake.DelegateInfoRuntimeApi,
    stake.BetaBasketRuntimeApi,
    prices.SubnetRegistrationRuntimeApi,
    prices.SwapRuntimeApi,
)
FREE_BEFORE_HEAD = ("register",)  # the work was its price
SINCE_HEAD = ("LastEpochBlock", "PendingEpochAt", "SubnetEpochIndex", "ActivityCutoffFactorMilli")


class CallType(Scale[Call]):
    """``RuntimeCall``: pallet number, call number, arguments."""

    smallest = 2
    path = ("node_subtensor_runtime", "RuntimeCall")

    def __init__(self, pallets: dict[int, Pallet], arms: list[Variant]) -> None:
        self.pallets = pallets
        self.arms = arms

    def read(self, reader: Reader) -> Call:
        start = reader.at
        spec = self.spec(reader)
        args = spec.read(reader)
        return Call(spec, args, reader.data[start : reader.at])

    def spec(self, reader: Reader) -> CallSpec:
        """Which call it is, by its first two bytes."""
        pallet = self.pallets.get(reader.byte())
        if pallet is None:
            raise ScaleError("no such pallet")
        spec = pallet.calls.get(reader.byte())
        if spec is None:
            raise ScaleError(f"no such call in {pallet.name}")
        return spec

    def encode(self, value: Call) -> bytes:
        return value.raw


class Runtime:
    """Pallets, runtime APIs, their metadata, and the running of calls.

    ``tempo_rule`` "legacy" leaves out of the metadata what runtimes up to 343 did not have, so that clients
    reckon epochs as they did there.
    """

    def __init__(self, tempo_rule: TempoRule = "head", pallets: Sequence[type[Pallet]] = PALLETS) -> None:
        self.pallets: list[Pallet] = [pallet() for pallet in pallets]
        self.by_name = {pallet.name: pallet for pallet in self.pallets}
        self._items = {item.prefix: item for pallet in self.pallets for item in pallet.storage.values()}
        legacy = tempo_rule == "legacy"
        self._free = FREE_BEFORE_HEAD if legacy else ()
        if legacy:
            module = self.by_name[SubtensorModule.name]
            module.storage = {name: item for name, item in module.storage.items() if name not in SINCE_HEAD}
        self._of_error = {pallet.errors: pallet for pallet in self.pallets if pallet.errors}
        self.types = [PalletTypes(pallet, bare=legacy) for pallet in self.pallets]
        rows = list(zip(self.pallets, self.types, strict=True))
        calls = [Variant(p.name, p.index, [(None, t.calls)]) for p, t in rows if t.calls]
        events = [Variant(p.name, p.index, [(None, t.events)]) for p, t in rows if t.events]
        errors = [Variant(p.name, p.index, [(None, t.errors)]) for p, t in rows if t.errors]
        call_type = self.call_type = CallType({pallet.index: pallet for pallet in self.pallets}, calls)
        event_type: Scale[Any] = s.Enum("node_subtensor_runtime::RuntimeEvent", events)
        self._enums = (call_type, event_type, s.Enum("node_subtensor_runtime::RuntimeError", errors))
        self.activate()
        self.apis = APIS
        self.methods = exported(APIS)

    def activate(self) -> None:
        """Make RuntimeCall and RuntimeEvent, which calls and records of events refer to, this runtime's."""
        set_call_type(self._enums[0])
        set_event_type(self._enums[1])

    def item_at(self, key: bytes) -> Item[Any] | None:
        """The storage item that a key belongs to; None for a key of no pallet."""
        return self._items.get(key[:PREFIX])

    @cached_property
    def metadata(self) -> bytes:
        """Metadata V14."""
        self.activate()
        return metadata_v14(self.pallets, self.types, FORMAT)

    @cached_property
    def metadata_v15(self) -> bytes:
        """Metadata V15: with the runtime APIs."""
        self.activate()
        return metadata_v15(self.pallets, self.types, FORMAT, self.apis, self._enums)

    def call(self, pallet: str, name: str, /, **args: Any) -> Call:
        """A call made here rather than decoded, for genesis, tests and tools."""
        spec = next(one for one in self.by_name[pallet].calls.values() if one.name == name)
        return Call(spec, args, bytes([self.by_name[pallet].index, spec.index]) + spec.encode(args))

    def error(self, failure: DispatchFailed) -> DispatchError:
        pallet = self._of_error[type(failure.error)]
        return "Module", {"index": pallet.index, "error": bytes([failure.error.value, 0, 0, 0])}

    def error_name(self, error: DispatchError) -> str:
        """A dispatch error as people read it: a pallet's error by its name."""
        kind, value = error
        if kind != "Module":
            return kind if value is None else f"{kind}.{value[0]}"
        pallet = next(one for one in self.pallets if one.index == value["index"])
        return pallet.errors(value["error"][0]).name if pallet.errors else kind

    def dispatch(self, ctx: Context, call: Call, who: bytes | None) -> DispatchError | None:
        """Run a call for ``who`` (None is root); what it changed is undone if it fails. Returns its error."""
        mark, events = ctx.state.mark(), len(ctx.events)
        try:
            _check_origin(call.spec, who)
            call.spec.function(ctx, who, **call.args)
            return None
        except DispatchFailed as failure:
            error = self.error(failure)
        except TokenFailed as failure:
            error = ("Token", (str(failure), None))
        except BadOrigin:
            error = ("BadOrigin", None)
        except InnerFailed as failure:
            error = failure.error
        except Exception:
            # a defect of a pallet must not stop the chain; it fails the one extrinsic and is logged
            logger.exception("%s failed in block %d", call.name, ctx.block)
            error = ("Other", None)
        ctx.state.rollback(mark)
        del ctx.events[events:]
        return error

    def apply(self, ctx: Context, index: int, extrinsic: Extrinsic) -> None:
        """Run a signed extrinsic that the pool found valid: fee, nonce, call, events."""
        ctx.applying(index)
        state, who = ctx.state, extrinsic.signer
        fee = self.fee(extrinsic.call, len(extrinsic.raw), extrinsic.tip)
        if fee:
            burn(state, who, fee)
            ctx.emit(Balances.Withdraw, who, fee)
        info = state.get(System.Account, who)
        info["nonce"] += 1
        state.put(System.Account, who, to=info)
        error = self.dispatch(ctx, extrinsic.call, who)
        if ctx.free and fee and not error and mint_if_it_fits(ctx, who, fee):
            ctx.emit(Balances.Deposit, who, fee)
            fee = 0
        ctx.emit(TransactionPayment.TransactionFeePaid, who, fee, extrinsic.tip)
        self.conclude(ctx, extrinsic.call, error, free=fee == 0)

    def apply_inherent(self, ctx: Context, index: int, call: Call) -> None:
        ctx.applying(index)
        call.spec.function(ctx, None, **call.args)
        self.conclude(ctx, call, None, free=True, kind="Mandatory")

    def conclude(
        self, ctx: Context, call: Call, error: DispatchError | None, *, free: bool, kind: str = "Normal"
    ) -> None:
        info = {
            "weight": self.weight(call),
            "class_": (kind, None),
            "pays_fee": ("No" if free else "Yes", None),
        }
        if error is None:
            ctx.emit(System.ExtrinsicSuccess, info)
        else:
            ctx.emit(System.ExtrinsicFailed, error, info)

    def weight(self, call: Call) -> dict[str, int]:
        """What a call weighs, in picoseconds and bytes of proof: all alike here, and each call in it as much."""
        return {"ref_time": BASE_WEIGHT * call.count(), "proof_size": 0}

    def fee(self, call: Call, length: int, tip: int = 0) -> int:
        """What a call costs in RAO: its weight at 0.0005 RAO a picosecond, a RAO a byte, and the tip."""
        return self._price(call.count(), length) + tip if self.pays(call.spec) else tip

    def least_fee(self, spec: CallSpec, length: int, tip: int) -> int:
        """What it costs at least, before it is decoded."""
        return self._price(1, length) + tip if self.pays(spec) else tip

    def pays(self, spec: CallSpec) -> bool:
        return spec.pays and spec.name not in self._free

    @staticmethod
    def _price(calls: int, length: int) -> int:
        return BASE_WEIGHT * calls // 2000 + length

    def can_pay(self, ctx: Context, extrinsic: Extrinsic) -> bool:
        fee = self.fee(extrinsic.call, len(extrinsic.raw), extrinsic.tip)
        return fee == 0 or free(ctx.state, extrinsic.signer) >= fee


def _check_origin(spec: CallSpec, who: bytes | None) -> None:
    if (spec.origin == "signed" and who is None) or (spec.origin == "root" and who is not None):
        raise BadOrigin
    if spec.origin == "none":
        raise BadOrigin


@lru_cache(maxsize=2)
def runtime(tempo_rule: TempoRule = "head") -> Runtime:
    """The runtime; one of each generation a process, since it only holds declarations."""
    return Runtime(tempo_rule)
