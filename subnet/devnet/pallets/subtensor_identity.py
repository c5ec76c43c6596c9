"""Identities: what coldkeys and subnets say of themselves."""

from __future__ import annotations

from typing import Annotated, Any

from subnet.devnet.context import Context
from subnet.devnet.pallet import ensure
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor_errors import Error
from subnet.devnet.pallets.subtensor_networks import register_subnet
from subnet.devnet.pallets.subtensor_types import SUBNET_IDENTITY
from subnet.devnet.scale import Option, account, octets, u16

# bytes of each field at most
_CHAIN = {"name": 256, "url": 256, "github_repo": 256, "image": 1024, "discord": 256}
_CHAIN |= {"description": 1024, "additional": 1024}
_SUBNET = {"subnet_name": 256, "github_repo": 1024, "subnet_contact": 1024, "subnet_url": 1024, "discord": 256}
_SUBNET |= {"description": 1024, "logo_url": 1024, "additional": 1024}
optional_identity = Annotated[dict[str, Any] | None, Option(SUBNET_IDENTITY)]


def _ensure_fits(identity: dict[str, bytes], limits: dict[str, int]) -> None:
    ensure(all(len(identity[field]) <= most for field, most in limits.items()), Error.InvalidIdentity)


@S.call(68)
def set_identity(
    ctx: Context,
    who: bytes,
    name: octets,
    url: octets,
    github_repo: octets,
    image: octets,
    discord: octets,
    description: octets,
    additional: octets,
) -> None:
    """Set the calling coldkey's identity; one of its hotkeys must be on some subnet."""
    state = ctx.state
    hotkeys = state.get(S.OwnedHotkeys, who)
    registered = any(state.keys(S.IsNetworkMember, hotkey) for hotkey in hotkeys)
    ensure(registered, Error.HotKeyNotRegisteredInNetwork)
    identity = {
        "name": name,
        "url": url,
        "github_repo": github_repo,
        "image": image,
        "discord": discord,
        "description": description,
        "additional": additional,
    }
    _ensure_fits(identity, _CHAIN)
    state.put(S.IdentitiesV2, who, to=identity)
    ctx.emit(S.ChainIdentitySet, who)


@S.call(78)
def set_subnet_identity(
    ctx: Context,
    who: bytes,
    netuid: u16,
    subnet_name: octets,
    github_repo: octets,
    subnet_contact: octets,
    subnet_url: octets,
    discord: octets,
    description: octets,
    logo_url: octets,
    additional: octets,
) -> None:
    """Set a subnet's identity, as its owner."""
    ensure(ctx.state.get(S.SubnetOwner, netuid) == who, Error.NotSubnetOwner)
    identity = {
        "subnet_name": subnet_name,
        "github_repo": github_repo,
        "subnet_contact": subnet_contact,
        "subnet_url": subnet_url,
        "discord": discord,
        "description": description,
        "logo_url": logo_url,
        "additional": additional,
    }
    _put_subnet_identity(ctx, netuid, identity)


def _put_subnet_identity(ctx: Context, netuid: int, identity: dict[str, bytes]) -> None:
    _ensure_fits(identity, _SUBNET)
    ctx.state.put(S.SubnetIdentitiesV3, netuid, to=identity)
    ctx.emit(S.SubnetIdentitySet, netuid)


@S.call(79)
def register_network_with_identity(ctx: Context, who: bytes, hotkey: account, identity: optional_identity) -> None:
    """As register_network, with the new subnet's identity."""
    netuid = register_subnet(ctx, who, hotkey)
    if identity is not None:
        _put_subnet_identity(ctx, netuid, identity)
