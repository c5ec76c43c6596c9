"""The writing half of the client: signed calls, sent once, followed to their outcome.

Every write is a :class:`~subnet.chain.calls.Call` that goes through
:class:`~subnet.chain.extrinsic.Submitter` and returns an :class:`~subnet.chain.sending.Included`, or
raises: ExtrinsicFailed (it took no effect) with the runtime's own error name and a remedy, or
ChainTimeout where the outcome is not known yet. All take the keywords of
:class:`~subnet.chain.sending.Sending`: wait, timeout, period, nonce, tip.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from subnet.chain import calls
from subnet.chain.calls import BatchMode, Call
from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Submitter
from subnet.chain.sending import PATIENCE, Estimate, Included, Prepared, Sending, Signing, Wait
from subnet.chain.weights_writer import WeightsWriter
from subnet.chain.work import read_task, solve
from subnet.errors import ChainTimeout, ExtrinsicFailed
from subnet.keys import ss58_of
from subnet.types import Rao

if TYPE_CHECKING:
    from substrateinterface import Keypair


class Writer(WeightsWriter):
    """What can be written; :class:`~subnet.chain.client.Chain` is the one to use."""

    _connection: Connection
    _submitter: Submitter

    # Any call

    async def send(self, call: Call, key: Keypair, **sending: Unpack[Sending]) -> Included:
        """Sign a call, send it and wait for its block.

        Raises ExtrinsicFailed where the pool or the runtime refuses; ChainTimeout where it is not
        known yet whether it will land; ChainError for a call or arguments the runtime does not have.
        """
        return await self._submitter.send(call, key, **sending)

    async def submit(
        self, module: str, call: str, params: Mapping[str, Any], key: Keypair, **sending: Unpack[Sending]
    ) -> Included:
        """As :meth:`send`, for a call named in place."""
        return await self.send(Call(module, call, params), key, **sending)

    async def estimate(self, call: Call, key: Keypair, **signing: Unpack[Signing]) -> Estimate:
        """A dry run: what a call would cost ``key``, and under which nonce. It is encoded, not executed: whether it
        would succeed is not said."""
        return await self._submitter.estimate(call, key, **signing)

    async def prepare(self, call: Call, key: Keypair, **signing: Unpack[Signing]) -> Prepared:
        """Sign a call without sending it: keep what this returns, then :meth:`deliver` it, after a restart again.

        No nonce is reserved: give ``nonce`` to prepare several.
        """
        return await self._submitter.prepare(call, key, **signing)

    async def deliver(self, prepared: Prepared, *, wait: Wait = "inclusion", timeout: float = PATIENCE) -> Included:
        """Send what :meth:`prepare` signed and follow it; safe to repeat, it lands once at most.

        Raises as :meth:`send`; WrongNetwork where it was signed for another chain.
        """
        return await self._submitter.deliver(prepared, wait=wait, timeout=timeout)

    async def sudo(
        self, key: Keypair, module: str, call: str, params: Mapping[str, Any], **sending: Unpack[Sending]
    ) -> Included:
        """Run a call as root. Raises ExtrinsicFailed(where="sudo") if the inner call failed."""
        included = await self.send(calls.sudo(Call(module, call, params)), key, **sending)
        if included.event("Sudo", "Sudid") is None:
            raise ExtrinsicFailed(
                f"Sudo.sudo({module}.{call}) left no sign of its outcome", name="Unknown", where="sudo"
            )
        return included

    async def batch(
        self, key: Keypair, batched: Sequence[Call], mode: BatchMode = "all", **sending: Unpack[Sending]
    ) -> Included:
        """Several calls in one extrinsic: ``"all"`` or none, ``"until-failure"``, or ``"each"``.

        Raises ExtrinsicFailed with the ``index`` of the first call that failed; calls of the two
        other modes that were not interrupted have taken effect all the same.
        """
        return await self.send(calls.batch(batched, mode), key, **sending)

    # Money

    async def transfer(
        self, coldkey: Keypair, to: str, amount: Rao, *, keep_alive: bool = True, **sending: Unpack[Sending]
    ) -> Included:
        """Send ``amount`` RAO of TAO, leaving the sender's account alive unless told otherwise."""
        return await self.send(calls.transfer(to, amount, keep_alive=keep_alive), coldkey, **sending)

    async def transfer_all(
        self, coldkey: Keypair, to: str, *, keep_alive: bool = True, **sending: Unpack[Sending]
    ) -> Included:
        """Send all TAO that may be sent; without ``keep_alive`` the account is closed."""
        return await self.send(calls.transfer_all(to, keep_alive=keep_alive), coldkey, **sending)

    async def add_stake(
        self,
        coldkey: Keypair,
        hotkey: str,
        netuid: int,
        amount: Rao,
        *,
        limit_price: Rao | None = None,
        allow_partial: bool = False,
        **sending: Unpack[Sending],
    ) -> Included:
        """Stake ``amount`` RAO of TAO on a hotkey on a subnet; ``limit_price`` (RAO for one alpha) is the most paid."""
        call = calls.add_stake(hotkey, netuid, amount, limit_price=limit_price, allow_partial=allow_partial)
        return await self.send(call, coldkey, **sending)

    async def remove_stake(
        self,
        coldkey: Keypair,
        hotkey: str,
        netuid: int,
        amount: Rao,
        *,
        limit_price: Rao | None = None,
        allow_partial: bool = False,
        **sending: Unpack[Sending],
    ) -> Included:
        """Take ``amount`` RAO of alpha back; ``limit_price`` (RAO for one alpha) is the least accepted."""
        call = calls.remove_stake(hotkey, netuid, amount, limit_price=limit_price, allow_partial=allow_partial)
        return await self.send(call, coldkey, **sending)

    async def unstake_all(self, coldkey: Keypair, hotkey: str, **sending: Unpack[Sending]) -> Included:
        """Take all stake on a hotkey back, on every subnet; ChainError where the runtime has no such call."""
        return await self.send(calls.unstake_all(hotkey), coldkey, **sending)

    # Subnets and registration

    async def register_network(self, coldkey: Keypair, hotkey: str, **sending: Unpack[Sending]) -> Included:
        """Create a subnet, its owner's hotkey as uid 0; ``.netuid`` of the result is its number."""
        return await self.send(calls.register_network(hotkey), coldkey, **sending)

    async def start_call(self, coldkey: Keypair, netuid: int, **sending: Unpack[Sending]) -> Included:
        """Start a subnet's emission; refused before ``start_call_block(netuid)``."""
        return await self.send(calls.start_call(netuid), coldkey, **sending)

    async def burned_register(self, coldkey: Keypair, netuid: int, hotkey: str, **sending: Unpack[Sending]) -> Included:
        """Register a hotkey at the subnet's current burn."""
        return await self.send(calls.burned_register(netuid, hotkey), coldkey, **sending)

    async def register(
        self,
        hotkey: Keypair,
        netuid: int,
        coldkey: str,
        *,
        work_timeout: float = 300.0,
        **sending: Unpack[Sending],
    ) -> Included:
        """Register a hotkey by proof of work, searched for in a thread for at most ``work_timeout`` seconds.

        The hotkey signs; ``coldkey`` (ss58) is to be its owner. Python makes about a hundred thousand
        seals a second: this is for low difficulties. A cancelled call stops its search. Raises
        ChainError on runtimes and subnets that take no work, ChainTimeout where none was found in time (nothing
        was sent).
        """
        until = time.monotonic() + work_timeout
        while (left := until - time.monotonic()) > 0:
            task = await self._connection.read(lambda session: read_task(session, netuid, ss58_of(hotkey.public_key)))
            stop = threading.Event()
            try:
                work = await asyncio.to_thread(solve, task, seconds=min(left, task.seconds), stop=stop)
            finally:
                stop.set()
            if work is not None:
                address = ss58_of(hotkey.public_key)
                call = calls.register(netuid, address, coldkey, work.block, work.nonce, work.seal)
                return await self.send(call, hotkey, **sending)
        raise ChainTimeout(
            f"no proof of work was found in {work_timeout:g} s",
            remedy="Register by burn (subnet register), or give it longer; nothing was sent.",
        )

    # Neurons

    async def serve_axon(
        self,
        hotkey: Keypair,
        netuid: int,
        ip: str,
        port: int,
        *,
        version: int = 0,
        protocol: int = 4,
        certificate: bytes | None = None,
        **sending: Unpack[Sending],
    ) -> Included:
        """Publish where the hotkey's neuron serves: an IPv4 or IPv6 address, and its TLS certificate (1 to 65 bytes:
        algorithm, public key). ValueError if they are none."""
        call = calls.serve_axon(netuid, ip, port, version=version, protocol=protocol, certificate=certificate)
        return await self.send(call, hotkey, **sending)

    async def serve_prometheus(
        self, hotkey: Keypair, netuid: int, ip: str, port: int, *, version: int = 0, **sending: Unpack[Sending]
    ) -> Included:
        """Publish where the hotkey's neuron's metrics are. ValueError if ``ip`` is no address."""
        return await self.send(calls.serve_prometheus(netuid, ip, port, version=version), hotkey, **sending)

    async def set_commitment(
        self, hotkey: Keypair, netuid: int, data: bytes | str, **sending: Unpack[Sending]
    ) -> Included:
        """Publish up to 128 bytes beside the hotkey; they replace what was there."""
        return await self.send(calls.set_commitment(netuid, data), hotkey, **sending)

    # Delegation

    async def increase_take(self, coldkey: Keypair, hotkey: str, take: int, **sending: Unpack[Sending]) -> Included:
        """Raise a delegate's take (parts of 65535; 11796 is 18%)."""
        return await self.send(calls.increase_take(hotkey, take), coldkey, **sending)

    async def decrease_take(self, coldkey: Keypair, hotkey: str, take: int, **sending: Unpack[Sending]) -> Included:
        """Lower a delegate's take (parts of 65535)."""
        return await self.send(calls.decrease_take(hotkey, take), coldkey, **sending)

    async def set_childkey_take(
        self, coldkey: Keypair, hotkey: str, netuid: int, take: int, **sending: Unpack[Sending]
    ) -> Included:
        """What a child hotkey keeps of its parents' dividends (parts of 65535)."""
        return await self.send(calls.set_childkey_take(hotkey, netuid, take), coldkey, **sending)

    async def set_children(
        self, coldkey: Keypair, hotkey: str, netuid: int, children: Mapping[str, float], **sending: Unpack[Sending]
    ) -> Included:
        """Hand shares (0 to 1) of a hotkey's stake weight to child hotkeys, after the chain's cooldown."""
        return await self.send(calls.set_children(hotkey, netuid, children), coldkey, **sending)

    # Identities

    async def set_identity(self, coldkey: Keypair, identity: Mapping[str, str], **sending: Unpack[Sending]) -> Included:
        """Say who a coldkey is; :func:`~subnet.chain.calls.set_identity` lists the fields."""
        return await self.send(calls.set_identity(**identity), coldkey, **sending)

    async def set_subnet_identity(
        self, coldkey: Keypair, netuid: int, identity: Mapping[str, str], **sending: Unpack[Sending]
    ) -> Included:
        """Say what a subnet is; :func:`~subnet.chain.calls.set_subnet_identity` lists the fields."""
        return await self.send(calls.set_subnet_identity(netuid, **identity), coldkey, **sending)
