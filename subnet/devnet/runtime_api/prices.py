"""SwapRuntimeApi and SubnetRegistrationRuntimeApi: what alpha and a subnet cost. Alpha is one for one here."""

from __future__ import annotations

from subnet.devnet.pallets.subtensor_networks import lock_cost
from subnet.devnet.runtime_api.declare import Api, View
from subnet.devnet.runtime_api.types import ALPHA, NET_UID, TAO, alpha_balance, net_uid, tao_balance
from subnet.devnet.runtime_api.values import exists, netuids
from subnet.devnet.scale import U64, Struct, Vec

PRICE = 10**9  # RAO of TAO for one alpha
_PATH = "pallet_subtensor_swap_runtime_api"
SUBNET_PRICE = Struct(f"{_PATH}::SubnetPrice", netuid=NET_UID, price=U64)
SIM_SWAP = Struct(
    f"{_PATH}::SimSwapResult",
    tao_amount=TAO,
    alpha_amount=ALPHA,
    tao_fee=TAO,
    alpha_fee=ALPHA,
    tao_slippage=TAO,
    alpha_slippage=ALPHA,
)


class SwapRuntimeApi(Api, version=1):
    """Prices of alpha in TAO: one for one, without fee or slippage, for there is no pool."""


def _swap(amount: int) -> dict[str, int]:
    return dict.fromkeys(SIM_SWAP.fields, 0) | {"tao_amount": amount, "alpha_amount": amount}


@SwapRuntimeApi.method(U64)
def current_alpha_price(view: View, netuid: net_uid) -> int:
    """RAO of TAO for one alpha; zero where there is no such subnet."""
    return PRICE if exists(view, netuid) else 0


@SwapRuntimeApi.method(Vec(SUBNET_PRICE))
def current_alpha_price_all(view: View) -> list[dict[str, int]]:
    """The prices of all subnets."""
    return [{"netuid": netuid, "price": PRICE} for netuid in netuids(view)]


@SwapRuntimeApi.method(SIM_SWAP)
def sim_swap_tao_for_alpha(view: View, netuid: net_uid, tao: tao_balance) -> dict[str, int]:
    """What staking this much TAO would give; nothing where there is no such subnet."""
    return _swap(tao if exists(view, netuid) else 0)


@SwapRuntimeApi.method(SIM_SWAP)
def sim_swap_alpha_for_tao(view: View, netuid: net_uid, alpha: alpha_balance) -> dict[str, int]:
    """What unstaking this much alpha would give, likewise."""
    return _swap(alpha if exists(view, netuid) else 0)


class SubnetRegistrationRuntimeApi(Api, version=1):
    """The price of a new subnet."""


@SubnetRegistrationRuntimeApi.method(TAO)
def get_network_registration_cost(view: View) -> int:
    """RAO that register_network would lock."""
    return lock_cost(view)
