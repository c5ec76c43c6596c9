"""Calls of the runtime as plain values: what :class:`~subnet.chain.writer.Writer` signs, estimates and batches.

A :class:`Call` names its pallet, function and arguments; nothing here talks to a chain. Amounts are
RAO, addresses any ss58 form; ValueError says what can't be meant. Weights have a module of their own
(:mod:`subnet.chain.weights`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from subnet.keys import canonical_ss58

PALLET = "SubtensorModule"
MAX_CERTIFICATE = 65
"""Bytes of a neuron's certificate: one for its algorithm, and a public key."""
MAX_COMMITMENT = 128
"""Bytes of one field of a commitment."""
_WHOLE = 2**64 - 1
_BATCHES = {"all": "batch_all", "until-failure": "batch", "each": "force_batch"}

BatchMode = Literal["all", "until-failure", "each"]


@dataclass(frozen=True)
class Call:
    """A call by name. ``optional`` arguments go only to runtimes that take them; a value may be a Call itself."""

    pallet: str
    function: str
    params: Mapping[str, Any] = field(default_factory=dict)
    optional: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.pallet}.{self.function}"


# Money


def transfer(to: str, amount: int, *, keep_alive: bool = True) -> Call:
    """Send ``amount`` RAO; ``keep_alive`` refuses to leave less than the existential deposit behind."""
    function = "transfer_keep_alive" if keep_alive else "transfer_allow_death"
    return Call("Balances", function, {"dest": canonical_ss58(to), "value": _positive(amount)})


def transfer_all(to: str, *, keep_alive: bool = True) -> Call:
    """Send all that may be sent; without ``keep_alive`` the account is closed."""
    return Call("Balances", "transfer_all", {"dest": canonical_ss58(to), "keep_alive": keep_alive})


def add_stake(
    hotkey: str, netuid: int, amount: int, *, limit_price: int | None = None, allow_partial: bool = False
) -> Call:
    """Stake ``amount`` RAO of TAO; ``limit_price`` (RAO of TAO for one alpha) is the most that may be paid."""
    params = {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "amount_staked": _positive(amount)}
    return _limited("add_stake", params, limit_price, allow_partial)


def remove_stake(
    hotkey: str, netuid: int, amount: int, *, limit_price: int | None = None, allow_partial: bool = False
) -> Call:
    """Unstake ``amount`` RAO of alpha; ``limit_price`` (RAO of TAO for one alpha) is the least that is taken."""
    params = {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "amount_unstaked": _positive(amount)}
    return _limited("remove_stake", params, limit_price, allow_partial)


def _limited(function: str, params: dict[str, Any], limit_price: int | None, allow_partial: bool) -> Call:
    if limit_price is None:
        return Call(PALLET, function, params)
    return Call(PALLET, f"{function}_limit", {**params, "limit_price": limit_price, "allow_partial": allow_partial})


def unstake_all(hotkey: str) -> Call:
    """Unstake all that the signer holds on a hotkey, on every subnet."""
    return Call(PALLET, "unstake_all", {"hotkey": canonical_ss58(hotkey)})


# Subnets and registration


def register_network(hotkey: str) -> Call:
    """Create a subnet; its owner's hotkey becomes uid 0. Runtimes up to spec 218 ask for a mechanism too."""
    return Call(PALLET, "register_network", {"hotkey": canonical_ss58(hotkey)}, {"mechid": 1})


def start_call(netuid: int) -> Call:
    """Start a subnet's emission."""
    return Call(PALLET, "start_call", {"netuid": netuid})


def burned_register(netuid: int, hotkey: str) -> Call:
    """Register a hotkey at the subnet's current burn."""
    return Call(PALLET, "burned_register", {"netuid": netuid, "hotkey": canonical_ss58(hotkey)})


def register(netuid: int, hotkey: str, coldkey: str, block: int, nonce: int, work: bytes) -> Call:
    """Register a hotkey by a proof of work (:mod:`subnet.chain.work`) over the hash of ``block``."""
    return Call(
        PALLET,
        "register",
        {
            "netuid": netuid,
            "block_number": block,
            "nonce": nonce,
            "work": _hex(work),
            "hotkey": canonical_ss58(hotkey),
            "coldkey": canonical_ss58(coldkey),
        },
    )


# Serving


def serve_axon(
    netuid: int, ip: str, port: int, *, version: int = 0, protocol: int = 4, certificate: bytes | None = None
) -> Call:
    """Publish where a neuron serves: an IPv4 or IPv6 address, and a certificate where it speaks TLS.

    ``certificate`` is 1 to 65 bytes: its algorithm's number, and the public key.
    """
    address = ipaddress.ip_address(ip)
    params = {
        "netuid": netuid,
        "version": version,
        "ip": int(address),
        "port": port,
        "ip_type": address.version,
        "protocol": protocol,
        "placeholder1": 0,
        "placeholder2": 0,
    }
    if certificate is None:
        return Call(PALLET, "serve_axon", params)
    if not 0 < len(certificate) <= MAX_CERTIFICATE:
        raise ValueError(f"a certificate has 1 to {MAX_CERTIFICATE} bytes, not {len(certificate)}")
    return Call(PALLET, "serve_axon_tls", {**params, "certificate": _hex(certificate)})


def serve_prometheus(netuid: int, ip: str, port: int, *, version: int = 0) -> Call:
    """Publish where a neuron's metrics are."""
    address = ipaddress.ip_address(ip)
    params = {"netuid": netuid, "version": version, "ip": int(address), "port": port, "ip_type": address.version}
    return Call(PALLET, "serve_prometheus", params)


def set_commitment(netuid: int, data: bytes | str) -> Call:
    """Publish up to 128 bytes beside the signer's hotkey (text as UTF-8)."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) > MAX_COMMITMENT:
        raise ValueError(f"a commitment has at most {MAX_COMMITMENT} bytes, not {len(raw)}")
    return Call(
        "Commitments", "set_commitment", {"netuid": netuid, "info": {"fields": [[{f"Raw{len(raw)}": _hex(raw)}]]}}
    )


# Delegation


def increase_take(hotkey: str, take: int) -> Call:
    """Raise a delegate's take: parts of 65535 (11796 is 18%). The chain limits how often."""
    return Call(PALLET, "increase_take", {"hotkey": canonical_ss58(hotkey), "take": take})


def decrease_take(hotkey: str, take: int) -> Call:
    """Lower a delegate's take: parts of 65535."""
    return Call(PALLET, "decrease_take", {"hotkey": canonical_ss58(hotkey), "take": take})


def set_childkey_take(hotkey: str, netuid: int, take: int) -> Call:
    """What a child hotkey keeps of its parents' dividends: parts of 65535."""
    return Call(PALLET, "set_childkey_take", {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "take": take})


def set_children(hotkey: str, netuid: int, children: Mapping[str, float]) -> Call:
    """Hand shares (0 to 1, together at most 1) of a hotkey's stake weight to child hotkeys; none takes all back."""
    shares = {canonical_ss58(child): Fraction(share) for child, share in children.items()}
    total = sum(shares.values(), Fraction(0))
    if any(share <= 0 for share in shares.values()) or total > 1 + Fraction(1, 10**9):
        raise ValueError("children's shares are positive and add up to at most 1")
    whole = max(total, Fraction(1))  # 0.1 ten times is a little more than 1
    pairs = [(int(share / whole * _WHOLE), child) for child, share in shares.items()]
    return Call(PALLET, "set_children", {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "children": pairs})


# Identities

_IDENTITY = ("name", "url", "github_repo", "image", "discord", "description", "additional")
_SUBNET_IDENTITY = (
    "subnet_name",
    "github_repo",
    "subnet_contact",
    "subnet_url",
    "discord",
    "description",
    "logo_url",
    "additional",
)


def set_identity(**fields: str) -> Call:
    """Who a coldkey is: name, url, github_repo, image, discord, description, additional; what is not given is empty."""
    return Call(PALLET, "set_identity", _texts(_IDENTITY, fields))


def set_subnet_identity(netuid: int, **fields: str) -> Call:
    """What a subnet is: subnet_name, github_repo, subnet_contact, subnet_url, discord, description, logo_url,
    additional; what is not given is empty. Older runtimes have no logo_url."""
    texts = _texts(_SUBNET_IDENTITY, fields)
    logo = {"logo_url": texts.pop("logo_url")}
    return Call(PALLET, "set_subnet_identity", {"netuid": netuid, **texts}, logo)


def _texts(names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    if unknown := sorted(set(given) - set(names)):
        raise ValueError(f"there is no {', '.join(unknown)} in this identity; it has {', '.join(names)}")
    return {name: _hex(given.get(name, "").encode()) for name in names}


# Calls that hold calls


def sudo(call: Call) -> Call:
    """A call as root."""
    return Call("Sudo", "sudo", {"call": call})


def batch(calls: Sequence[Call], mode: BatchMode = "all") -> Call:
    """Several calls in one extrinsic: ``"all"`` or none, ``"until-failure"``, or ``"each"`` for itself."""
    if not calls:
        raise ValueError("a batch has at least one call")
    return Call("Utility", _BATCHES[mode], {"calls": list(calls)})


def _hex(data: bytes) -> str:
    return "0x" + data.hex()  # scalecodec would take text that starts with 0x for hex


def _positive(amount: int) -> int:
    if not 0 < int(amount) < 2**64:
        raise ValueError(f"{amount} RAO can't be moved")
    return int(amount)
