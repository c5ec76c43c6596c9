"""StakeInfoRuntimeApi, DelegateInfoRuntimeApi and BetaBasketRuntimeApi: who has how much stake where."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from subnet.devnet.pallets.subtensor import ROOT, TAO
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_staking import stake_of
from subnet.devnet.runtime_api.declare import Api, View
from subnet.devnet.runtime_api.types import C_ALPHA, C_NET_UID, C_TAO, C_U16, C_U64, NET_UID, accounts, net_uid
from subnet.devnet.runtime_api.types import TAO as TAO_BALANCE
from subnet.devnet.runtime_api.values import exists, netuids
from subnet.devnet.scale import ACCOUNT, BOOL, U64, Named, Option, ScaleError, Struct, Tuple, Vec, account, u64

MAX_COLDKEYS = 256  # in one request
BLOCKS_A_DAY = 7200
_STAKES = "pallet_subtensor::rpc_info::stake_info"
STAKE_INFO = Struct(
    f"{_STAKES}::StakeInfo",
    hotkey=ACCOUNT,
    coldkey=ACCOUNT,
    netuid=C_NET_UID,
    stake=C_ALPHA,
    locked=C_U64,
    emission=C_ALPHA,
    tao_emission=C_TAO,
    drain=C_U64,
    is_registered=BOOL,
)
AVAILABILITY = Struct(f"{_STAKES}::StakeAvailability", total=C_ALPHA, locked=C_ALPHA, available=C_ALPHA)
_OF_NETUID = Named("BTreeMap", Vec(Tuple(NET_UID, AVAILABILITY)), K=NET_UID, V=AVAILABILITY)
_OF_COLDKEY = Named("BTreeMap", Vec(Tuple(ACCOUNT, _OF_NETUID)), K=ACCOUNT, V=_OF_NETUID)
DELEGATE_INFO = Struct(
    "pallet_subtensor::rpc_info::delegate_info::DelegateInfo",
    delegate_ss58=ACCOUNT,
    take=C_U16,
    nominators=Vec(Tuple(ACCOUNT, Vec(Tuple(C_NET_UID, C_U64)))),
    owner_ss58=ACCOUNT,
    registrations=Vec(C_NET_UID),
    validator_permits=Vec(C_NET_UID),
    return_per_1000=C_U64,
    total_daily_return=C_U64,
)
some_netuids = Annotated[list[int] | None, Option(Vec(NET_UID))]
end = Annotated[tuple[bytes, int] | None, Option(Tuple(ACCOUNT, NET_UID))]


class StakeInfoRuntimeApi(Api, version=1):
    """Stake of coldkeys; alpha in RAO. Nothing is ever locked here."""


def _stake(view: View, hotkey: bytes, coldkey: bytes, netuid: int) -> dict[str, Any]:
    state = view.state
    return {
        "hotkey": hotkey,
        "coldkey": coldkey,
        "netuid": netuid,
        "stake": stake_of(state, hotkey, coldkey, netuid),
        "locked": 0,
        "emission": state.get(S.AlphaDividendsPerSubnet, netuid, hotkey),
        "tao_emission": 0,
        "drain": 0,
        "is_registered": state.has(S.Uids, netuid, hotkey),
    }


def _stakes(view: View, coldkey: bytes) -> list[dict[str, Any]]:
    hotkeys = view.state.get(S.StakingHotkeys, coldkey)
    found = (_stake(view, hotkey, coldkey, netuid) for netuid in netuids(view) for hotkey in hotkeys)
    return [one for one in found if one["stake"]]


def _bounded(coldkeys: list[bytes]) -> list[bytes]:
    if len(coldkeys) > MAX_COLDKEYS:
        raise ScaleError(f"{len(coldkeys)} coldkeys; at most {MAX_COLDKEYS} at once")
    return coldkeys


@StakeInfoRuntimeApi.method(Vec(STAKE_INFO))
def get_stake_info_for_coldkey(view: View, coldkey_account: account) -> list[dict[str, Any]]:
    """All stake of a coldkey, by netuid and hotkey."""
    return _stakes(view, coldkey_account)


@StakeInfoRuntimeApi.method(Vec(Tuple(ACCOUNT, Vec(STAKE_INFO))))
def get_stake_info_for_coldkeys(view: View, coldkey_accounts: accounts) -> list[tuple[bytes, list[dict[str, Any]]]]:
    """The same of up to 256 coldkeys."""
    return [(coldkey, _stakes(view, coldkey)) for coldkey in _bounded(coldkey_accounts)]


@StakeInfoRuntimeApi.method(Option(STAKE_INFO))
def get_stake_info_for_hotkey_coldkey_netuid(
    view: View, hotkey_account: account, coldkey_account: account, netuid: net_uid
) -> dict[str, Any] | None:
    """A coldkey's stake on one hotkey of one subnet; zero where there is none."""
    return _stake(view, hotkey_account, coldkey_account, netuid)


@StakeInfoRuntimeApi.method(_OF_COLDKEY)
def get_stake_availability_for_coldkeys(
    view: View, coldkey_accounts: accounts, netuids: some_netuids
) -> list[tuple[bytes, list[tuple[int, dict[str, int]]]]]:
    """What up to 256 coldkeys could unstake, by coldkey and netuid (all where None), where they have any stake."""
    asked = None if netuids is None else {netuid for netuid in netuids if exists(view, netuid)}
    rows = []
    for coldkey in sorted(set(_bounded(coldkey_accounts))):
        totals: dict[int, int] = defaultdict(int)
        for one in _stakes(view, coldkey):
            if asked is None or one["netuid"] in asked:
                totals[one["netuid"]] += one["stake"]
        parts = [(netuid, {"total": sum_, "locked": 0, "available": sum_}) for netuid, sum_ in sorted(totals.items())]
        rows.append((coldkey, parts))
    return rows


@StakeInfoRuntimeApi.method(U64)
def get_stake_fee(
    view: View,
    origin: end,
    origin_coldkey_account: account,
    destination: end,
    destination_coldkey_account: account,
    amount: u64,
) -> int:
    """What staking, unstaking or moving stake costs besides the extrinsic's fee: nothing, for there is no pool."""
    return 0


class DelegateInfoRuntimeApi(Api, version=1):
    """Hotkeys that others may stake on."""


Nominations = dict[bytes, dict[bytes, list[int]]]


def _nominations(view: View) -> Nominations:
    """Netuids by hotkey and coldkey."""
    found: Nominations = defaultdict(lambda: defaultdict(list))
    for hotkey, coldkey, netuid in view.state.keys(S.AlphaV2):
        found[hotkey][coldkey].append(netuid)
    return found


def _delegate(view: View, hotkey: bytes, nominators: dict[bytes, list[int]]) -> dict[str, Any]:
    state = view.state
    stakes = {
        coldkey: [(netuid, stake_of(state, hotkey, coldkey, netuid)) for netuid in sorted(on)]
        for coldkey, on in sorted(nominators.items())
    }
    registrations, permits, daily = [], [], 0
    for netuid in sorted(netuid for _, netuid in state.keys(S.IsNetworkMember, hotkey)):
        uid = state.get(S.Uids, netuid, hotkey)
        if uid is None:
            continue
        registrations.append(netuid)
        if state.get(S.ValidatorPermit, netuid)[uid : uid + 1] == [True]:
            permits.append(netuid)
        emission = sum(state.get(S.Emission, netuid)[uid : uid + 1])
        daily += emission * BLOCKS_A_DAY // max(1, state.get(S.Tempo, netuid))
    take, root = state.get(S.Delegates, hotkey), state.get(S.TotalHotkeyAlpha, hotkey, ROOT)
    return {
        "delegate_ss58": hotkey,
        "take": take,
        "nominators": list(stakes.items()),
        "owner_ss58": state.get(S.Owner, hotkey),
        "registrations": registrations,
        "validator_permits": permits,
        "return_per_1000": daily * (65535 - take) // 65535 * 1000 * TAO // root if root else 0,
        "total_daily_return": daily,
    }


@DelegateInfoRuntimeApi.method(Vec(DELEGATE_INFO))
def get_delegates(view: View) -> list[dict[str, Any]]:
    """All hotkeys that have a take set."""
    nominations = _nominations(view)
    return [_delegate(view, hotkey, nominations[hotkey]) for (hotkey,) in view.state.keys(S.Delegates)]


@DelegateInfoRuntimeApi.method(Option(DELEGATE_INFO))
def get_delegate(view: View, delegate_account: account) -> dict[str, Any] | None:
    """One of them; None if the hotkey has no take set."""
    if not view.state.has(S.Delegates, delegate_account):
        return None
    return _delegate(view, delegate_account, _nominations(view)[delegate_account])


@DelegateInfoRuntimeApi.method(Vec(Tuple(DELEGATE_INFO, Tuple(C_NET_UID, C_ALPHA))))
def get_delegated(view: View, delegatee_account: account) -> list[tuple[dict[str, Any], tuple[int, int]]]:
    """The hotkeys that a coldkey staked on, each with a netuid and the coldkey's alpha there."""
    state = view.state
    return [
        (_delegate(view, hotkey, {}), (netuid, stake_of(state, hotkey, delegatee_account, netuid)))
        for hotkey, nominators in sorted(_nominations(view).items())
        if state.has(S.Delegates, hotkey)
        for netuid in sorted(nominators.get(delegatee_account, ()))
    ]


class BetaBasketRuntimeApi(Api, version=1):
    """Baskets of root stake, of runtimes after June 2026: a local chain has none, and bittensor 11 asks."""


@BetaBasketRuntimeApi.method(TAO_BALANCE)
def get_root_basket_owed(view: View, coldkey: account) -> int:
    """What a coldkey could claim: nothing."""
    return 0


@BetaBasketRuntimeApi.method(Vec(Tuple(ACCOUNT, U64, TAO_BALANCE)))
def get_root_basket_positions(view: View, coldkey: account) -> list[tuple[bytes, int, int]]:
    """A coldkey's positions: none."""
    return []
