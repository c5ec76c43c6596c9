"""The writing half of the client: signed calls, sent once, followed to their outcome.

Every write goes through :class:`~subnet.chain.extrinsic.Submitter` and returns an
:class:`~subnet.chain.extrinsic.Included` or raises: ExtrinsicFailed with the runtime's own error
name and a remedy, or ChainTimeout where the outcome is not known yet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Included, Submitter
from subnet.errors import ExtrinsicFailed
from subnet.keys import canonical_ss58
from subnet.types import Rao

if TYPE_CHECKING:
    from substrateinterface import Keypair

PALLET = "SubtensorModule"
INCLUSION = 120.0
"""Seconds that a write waits for its block: ten blocks of a real network."""


class Writer:
    """What can be written; :class:`~subnet.chain.client.Chain` is the one to use."""

    _connection: Connection
    _submitter: Submitter

    # Writes

    async def submit(
        self, module: str, call: str, params: Mapping[str, Any], key: Keypair, *, timeout: float = INCLUSION
    ) -> Included:
        """Sign any call with ``key``, send it and wait at most ``timeout`` seconds for its block.

        Raises ExtrinsicFailed where the pool or the runtime refuses; ChainTimeout where it is not
        known yet whether it will land; ChainError for a call or arguments the runtime does not have.
        """
        return await self._submitter.submit(module, call, params, key, timeout=timeout)

    async def register_network(self, coldkey: Keypair, hotkey: str) -> Included:
        """Create a subnet, its owner's hotkey as uid 0; ``.netuid`` of the result is its number."""
        params: dict[str, Any] = {"hotkey": canonical_ss58(hotkey)}
        if "mechid" in await self._arguments("register_network"):  # runtimes up to spec 218
            params["mechid"] = 1
        return await self.submit(PALLET, "register_network", params, coldkey)

    async def start_call(self, coldkey: Keypair, netuid: int) -> Included:
        """Start a subnet's emission; refused before :meth:`start_call_block`."""
        return await self.submit(PALLET, "start_call", {"netuid": netuid}, coldkey)

    async def burned_register(self, coldkey: Keypair, netuid: int, hotkey: str) -> Included:
        """Register a hotkey at the subnet's current burn."""
        params = {"netuid": netuid, "hotkey": canonical_ss58(hotkey)}
        return await self.submit(PALLET, "burned_register", params, coldkey)

    async def add_stake(self, coldkey: Keypair, hotkey: str, netuid: int, amount: Rao) -> Included:
        """Stake ``amount`` RAO of TAO on a hotkey on a subnet."""
        params = {"hotkey": canonical_ss58(hotkey), "netuid": netuid, "amount_staked": int(amount)}
        return await self.submit(PALLET, "add_stake", params, coldkey)

    async def serve_axon(self, hotkey: Keypair, netuid: int, ip: str, port: int) -> Included:
        """Publish where the hotkey's neuron serves: an IPv4 or IPv6 address. ValueError if it is none."""
        address = ipaddress.ip_address(ip)
        params = {
            "netuid": netuid,
            "version": 0,
            "ip": int(address),
            "port": port,
            "ip_type": address.version,
            "protocol": 4,
            "placeholder1": 0,
            "placeholder2": 0,
        }
        return await self.submit(PALLET, "serve_axon", params, hotkey)

    async def set_weights(
        self, hotkey: Keypair, netuid: int, uids: Sequence[int], weights: Sequence[int], version_key: int = 0
    ) -> Included:
        """Set a validator's weights (u16, one a uid); needs a permit, and commit-reveal off."""
        params = {
            "netuid": netuid,
            "dests": [int(uid) for uid in uids],
            "weights": [int(weight) for weight in weights],
            "version_key": version_key,
        }
        return await self.submit(PALLET, "set_weights", params, hotkey)

    async def transfer(self, coldkey: Keypair, to: str, amount: Rao) -> Included:
        """Send ``amount`` RAO of TAO, leaving the sender's account alive."""
        params = {"dest": canonical_ss58(to), "value": int(amount)}
        return await self.submit("Balances", "transfer_keep_alive", params, coldkey)

    async def sudo(self, key: Keypair, module: str, call: str, params: Mapping[str, Any]) -> Included:
        """Run a call as root. Raises ExtrinsicFailed(where="sudo") if the inner call failed."""
        inner = {"call_module": module, "call_function": call, "call_args": dict(params)}
        await self._arguments(call, module)
        included = await self.submit("Sudo", "sudo", {"call": inner}, key)
        if included.event("Sudo", "Sudid") is None:
            raise ExtrinsicFailed(
                f"Sudo.sudo({module}.{call}) left no sign of its outcome", name="Unknown", where="sudo"
            )
        return included

    async def _arguments(self, call: str, module: str = PALLET) -> tuple[str, ...]:
        return await self._connection.read(lambda session: session.runtime().call_arguments(module, call))
