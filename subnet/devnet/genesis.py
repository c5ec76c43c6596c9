"""What a genesis file declares, put into a chain's first block.

Where there is a call for something, the call does it (as root, or as who may), so that a declared subnet
is in no state that a real one can't get into; the rest are the pieces that registration itself is made of.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from subnet.devnet.accounts import Account
from subnet.devnet.chain import Chain
from subnet.devnet.context import Context, Spec
from subnet.devnet.genesis_file import GenesisFile, Neuron, Place, Subnet, suggestion
from subnet.devnet.pallet import CallSpec, Item
from subnet.devnet.pallets.balances import mint
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_networks import lock_cost
from subnet.devnet.pallets.subtensor_registration import append_neuron, associate, set_last_update
from subnet.devnet.pallets.utility import Sudo
from subnet.devnet.runtime import Runtime
from subnet.devnet.scale import BoolType, Int, Scale, ScaleError
from subnet.devnet.state import Store
from subnet.types import U16_MAX

logger = logging.getLogger(__name__)

OTHER_NAMES = {
    "Burn": "burn",
    "MaxWeightsLimit": "max_weights_limit",
    "bonds_reset": "bonds_reset_enabled",
    "commit_reveal_enabled": "commit_reveal_weights_enabled",
    "liquid_alpha": "liquid_alpha_enabled",
    "max_uids": "max_allowed_uids",
    "max_validators": "max_allowed_validators",
    "registration_allowed": "network_registration_allowed",
    "reveal_period": "commit_reveal_weights_interval",
    "weights_rate_limit": "weights_set_rate_limit",
    "yuma3": "yuma3_enabled",
}
"""Names that ``subnet hyperparameters`` prints and storage has, where this module or AdminUtils has another."""

WRITTEN: Mapping[str, tuple[Item[Any], Callable[[Any, Any], Any]]] = {
    "burn": (S.Burn, lambda old, new: new),
    "max_weights_limit": (S.MaxWeightsLimit, lambda old, new: new),
    "alpha_low": (S.AlphaValues, lambda old, new: (new, old[1])),
    "alpha_high": (S.AlphaValues, lambda old, new: (old[0], new)),
}
"""Hyperparameters that no call sets: the item, and its new value from the old one and the file's."""


def open_chain(store: Store, spec: Spec, accounts: Sequence[Account], balance: int, path: Path) -> Chain:
    """The store's chain, begun as the file declares if it is new; DevnetError for what is not right in the file."""
    file = GenesisFile(path)
    chain = Chain(store, spec, accounts, balance, lambda ctx, runtime: apply(ctx, runtime, file))
    known = store.meta("genesis")
    if known is None and chain.head.number == 0:
        store.set_meta("genesis", file.digest.encode())
    elif known != file.digest.encode():
        logger.warning("%s holds a chain that began otherwise than %s says; it goes on as it is", store.path, path)
    return chain


def apply(ctx: Context, runtime: Runtime, file: GenesisFile) -> None:
    """Put all of the file into the state of block 0; DevnetError for what the chain refuses."""
    _Builder(ctx, runtime, file).build()


class _Builder:
    def __init__(self, ctx: Context, runtime: Runtime, file: GenesisFile) -> None:
        self.ctx, self.state, self.runtime, self.file = ctx, ctx.state, runtime, file
        calls = {one.name.removeprefix("sudo_set_"): one for one in runtime.by_name["AdminUtils"].calls.values()}
        self.network_calls = {name: spec for name, spec in calls.items() if _settable(spec, ())}
        self.subnet_calls = {name: spec for name, spec in calls.items() if _settable(spec, ("netuid",))}

    def build(self) -> None:
        file, declared = self.file, self.file.declared
        self.state.put(Sudo.Key, to=file.account(declared.sudo, ("sudo",)))
        for who, amount in declared.balances.items():
            place: Place = ("balances", who)
            rao = file.rao(amount, place)
            if rao:
                mint(self.ctx, file.account(who, place), rao)
        for number, (subnet, neurons) in enumerate(file.subnets):
            self._subnet(("subnets", number), number + 1, subnet, neurons)
        # last: a limit on the number of subnets, say, is for what comes after genesis
        self._settings(("network",), declared.network, self.network_calls, {})

    def _subnet(self, place: Place, netuid: int, subnet: Subnet, neurons: list[Neuron]) -> None:
        ctx, state, file = self.ctx, self.state, self.file
        if subnet.netuid not in (None, netuid):
            raise file.error(
                (*place, "netuid"),
                f"the subnets are numbered from 1 in their order, so this is {netuid}",
                "Leave netuid out, or put the subnets in order.",
            )
        owner = file.account(subnet.owner, (*place, "owner"))
        name = subnet.owner_hotkey or f"{subnet.owner}//{netuid}"
        if not subnet.owner_hotkey and not subnet.owner.startswith("//"):
            raise file.error((*place, "owner_hotkey"), "missing", "Name the hotkey that is to be uid 0.")
        mint(ctx, owner, lock_cost(ctx))
        self._call(
            place, owner, "SubtensorModule", "register_network", hotkey=file.account(name, (*place, "owner_hotkey"))
        )
        # stake needs a started subnet, hyperparameters one with its neurons
        if subnet.started:
            state.put(S.FirstEmissionBlockNumber, netuid, to=1)
        state.put(S.SubtokenEnabled, netuid, to=True)
        for uid, neuron in enumerate(neurons, 1):
            self._neuron((*place, "neurons", uid - 1), netuid, subnet, neuron)
        for uid, neuron in enumerate(neurons, 1):
            self._weights((*place, "neurons", uid - 1, "weights"), netuid, uid, neuron.weights)
        state.put(S.SubtokenEnabled, netuid, to=subnet.started)
        self._settings((*place, "hyperparameters"), subnet.hyperparameters, self.subnet_calls, {"netuid": netuid})

    def _neuron(self, place: Place, netuid: int, subnet: Subnet, neuron: Neuron) -> None:
        ctx, state, file = self.ctx, self.state, self.file
        hotkey = file.account(neuron.hotkey, (*place, "hotkey"))
        coldkey = file.account(neuron.coldkey or subnet.owner, (*place, "coldkey"))
        if state.get(S.Uids, netuid, hotkey) is not None:
            raise file.error(
                (*place, "hotkey"), "it is on this subnet already", "Give each neuron a hotkey of its own."
            )
        associate(ctx, coldkey, hotkey)
        if state.get(S.Owner, hotkey) != coldkey:
            raise file.error((*place, "coldkey"), "the hotkey has another one", "A hotkey has one coldkey, everywhere.")
        uid = append_neuron(ctx, netuid, hotkey)
        if neuron.permit:
            permits = state.get(S.ValidatorPermit, netuid)
            permits[uid] = True
            state.put(S.ValidatorPermit, netuid, to=permits)
        stake = file.rao(neuron.stake, (*place, "stake"))
        if stake:
            mint(ctx, coldkey, stake)
            self._call(
                (*place, "stake"), coldkey, "SubtensorModule", "add_stake",
                hotkey=hotkey, netuid=netuid, amount_staked=stake,
            )  # fmt: skip
        if neuron.axon:
            ip, version, port = file.address(neuron.axon, (*place, "axon"))
            self._call(
                (*place, "axon"), hotkey, "SubtensorModule", "serve_axon",
                netuid=netuid, version=1, ip=ip, port=port, ip_type=version, protocol=4, placeholder1=0, placeholder2=0,
            )  # fmt: skip
        if neuron.take is not None:
            if not neuron.take.is_finite() or not 0 <= neuron.take * U16_MAX <= state.get(S.MaxDelegateTake):
                raise file.error((*place, "take"), f"{neuron.take} is out of bounds", "Give a share from 0 to 0.18.")
            state.put(S.Delegates, hotkey, to=int(neuron.take * U16_MAX))

    def _weights(self, place: Place, netuid: int, uid: int, weights: Mapping[str, Decimal]) -> None:
        state, file = self.state, self.file
        row: dict[int, Decimal] = {}
        for who, weight in weights.items():
            if not weight.is_finite() or not 0 <= weight <= 10**9:
                raise file.error(place, f"{weight} is no weight", "Give numbers from 0 up; their ratios count.")
            target = int(who) if re.fullmatch(r"[0-9]{1,5}", who) else self._uid(place, netuid, who)
            if not target < state.get(S.SubnetworkN, netuid) or target in row:
                raise file.error(
                    place, f"no uid for {who!r}, or twice", "Name uids or hotkeys of this subnet, once each."
                )
            row[target] = weight
        largest = max(row.values(), default=Decimal(0))
        if largest:
            scaled = [(target, round(weight / largest * U16_MAX)) for target, weight in sorted(row.items())]
            state.put(S.Weights, netuid, uid, to=scaled)
            # as if set in block 1: consensus does not count weights older than the neuron that they are for
            set_last_update(state, netuid, uid, 1)

    def _uid(self, place: Place, netuid: int, who: str) -> int:
        uid = self.state.get(S.Uids, netuid, self.file.account(who, place))
        return self.state.get(S.SubnetworkN, netuid) if uid is None else int(uid)

    def _settings(
        self, place: Place, values: Mapping[str, Any], calls: Mapping[str, CallSpec], first: Mapping[str, int]
    ) -> None:
        """Set what the file says by AdminUtils' calls, or directly where there is no call."""
        items = {item.name: name for name, item in _items(calls).items()}
        for name, value in values.items():
            at = (*place, name)
            known = OTHER_NAMES.get(name) or items.get(name) or name.removeprefix("sudo_set_")
            if first and known in WRITTEN:
                item, change = WRITTEN[known]
                scale: Scale[Any] = S.Kappa.value if item is S.AlphaValues else item.value
                new = change(self.state.get(item, *first.values()), self._value(at, value, scale))
                self.state.put(item, *first.values(), to=new)
                continue
            spec = calls.get(known)
            if spec is None:
                names = sorted({*calls, *items, *(OTHER_NAMES.keys() | WRITTEN.keys() if first else ())})
                raise self.file.error(at, "no such setting", suggestion(name, names))
            argument, scale = list(spec.args.items())[-1]
            self._call(at, None, "AdminUtils", spec.name, **first, **{argument: self._value(at, value, scale)})

    def _value(self, place: Place, value: Any, scale: Scale[Any]) -> Any:
        """A TOML value as one of the type."""
        fits = isinstance(value, bool) if isinstance(scale, BoolType) else not isinstance(value, bool)
        if fits and isinstance(scale, BoolType):
            return value
        try:
            if fits and isinstance(scale, Int) and isinstance(value, int):
                scale.encode(value)
                return value
            if fits and not isinstance(scale, Int) and isinstance(value, int | Decimal):
                fixed = {"bits": int(Decimal(value) * 2**64)}
                scale.encode(fixed)
                return fixed
        except (ScaleError, ArithmeticError, ValueError):
            pass
        wanted = "true or false" if isinstance(scale, BoolType) else getattr(scale, "name", "a number")
        raise self.file.error(place, f"{str(value)[:80]} does not fit", f"Give {wanted}.")

    def _call(self, place: Place, who: bytes | None, pallet: str, name: str, **args: Any) -> None:
        error = self.ctx.dispatch(self.ctx, self.runtime.call(pallet, name, **args), who)
        if error is not None:
            raise self.file.error(
                place,
                f"{pallet}.{name} refuses it: {self.runtime.error_name(error)}",
                "Change the value, or the settings it goes against.",
            )


def _settable(spec: CallSpec, first: tuple[str, ...]) -> bool:
    """Whether the call sets one number or switch, after ``first``."""
    *before, last = spec.args or [""]
    if not spec.name.startswith("sudo_set_") or tuple(before) != first or not last or last == "netuid":
        return False
    scale = spec.args[last]
    return isinstance(scale, Int | BoolType) or scale is S.BurnIncreaseMult.value


def _items(calls: Mapping[str, CallSpec]) -> dict[str, Item[Any]]:
    """The storage item that each of these calls sets, where it is one."""
    from subnet.devnet.pallets.admin import SETTERS

    found = {setter.name: setter.item for setter in SETTERS if setter.name in calls}
    if "tempo" in calls:
        found |= {"tempo": S.Tempo, "alpha_sigmoid_steepness": S.AlphaSigmoidSteepness}
    return found
