"""Writing weights: what :class:`~subnet.chain.writer.Writer` inherits for set, commit and reveal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from subnet.chain import weights as forms
from subnet.chain.connection import Connection
from subnet.chain.extrinsic import Submitter
from subnet.chain.sending import Included, Sending
from subnet.chain.session import Session
from subnet.chain.timelock import Timelocked, read_reveal_block, timelocked
from subnet.chain.weights import WeightCommit
from subnet.keys import ss58_of
from subnet.types import Block

if TYPE_CHECKING:
    from substrateinterface import Keypair


class WeightsWriter:
    """All of them pay no fee and are signed by the validator's hotkey, which needs no balance."""

    _connection: Connection
    _submitter: Submitter

    async def set_weights(
        self,
        hotkey: Keypair,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        **sending: Unpack[Sending],
    ) -> Included:
        """Set a validator's weights (u16, one a uid); needs a permit, and commit-reveal off."""
        call = forms.set_weights(netuid, uids, weights, version_key=version_key, mechanism=mechanism)
        return await self._submitter.send(call, hotkey, **sending)

    async def batch_set_weights(
        self, hotkey: Keypair, entries: Sequence[tuple[int, Mapping[int, int], int]], **sending: Unpack[Sending]
    ) -> Included:
        """Weights on several subnets: (netuid, {uid: u16}, version key) each."""
        return await self._submitter.send(forms.batch_set_weights(entries), hotkey, **sending)

    async def timelock(
        self,
        hotkey: str,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        block_seconds: float | None = None,
    ) -> Timelocked:
        """Encrypt weights for a time-locked commit, to be sent at once: it is made for the next block.

        ``block_seconds`` is the time between blocks (None: as the chain says). Raises MissingExtra
        without bittensor-drand, NoSuchSubnet; ValueError for what are no u16 weights.
        """

        def job(session: Session) -> Timelocked:
            return timelocked(
                session,
                hotkey,
                netuid,
                uids,
                weights,
                version_key=version_key,
                mechanism=mechanism,
                seconds=block_seconds,
            )

        return await self._connection.read(job)

    async def commit_timelocked_weights(
        self,
        hotkey: Keypair,
        netuid: int,
        uids: Sequence[int],
        weights: Sequence[int],
        version_key: int = 0,
        *,
        mechanism: int = 0,
        block_seconds: float | None = None,
        **sending: Unpack[Sending],
    ) -> Included:
        """Commit to weights that the chain itself opens later, with drand's help; see :meth:`timelock`."""
        made = await self.timelock(
            ss58_of(hotkey.public_key),
            netuid,
            uids,
            weights,
            version_key,
            mechanism=mechanism,
            block_seconds=block_seconds,
        )
        return await self._submitter.send(made.call, hotkey, **sending)

    async def commit_weights(self, hotkey: Keypair, commit: WeightCommit, **sending: Unpack[Sending]) -> Included:
        """Commit to weights by their hash. Keep ``commit`` before: without its salt nothing can be revealed."""
        return await self._submitter.send(forms.commit_weights(commit), hotkey, **sending)

    async def reveal_block(self, netuid: int, committed: Block) -> Block:
        """The first block that takes the reveal of what was committed in a block; it is taken for one epoch.

        A change of tempo meanwhile moves it. Raises ChainRefused where the node no longer has that block's state.
        """
        return await self._connection.read(lambda session: read_reveal_block(session, netuid, committed))

    async def batch_commit_weights(
        self, hotkey: Keypair, commits: Sequence[WeightCommit], **sending: Unpack[Sending]
    ) -> Included:
        """Commit on several subnets at once."""
        return await self._submitter.send(forms.batch_commit_weights(commits), hotkey, **sending)

    async def reveal_weights(self, hotkey: Keypair, commit: WeightCommit, **sending: Unpack[Sending]) -> Included:
        """Reveal a commit, in the one epoch that is for it; older commits are dropped."""
        return await self._submitter.send(forms.reveal_weights(commit), hotkey, **sending)

    async def batch_reveal_weights(
        self, hotkey: Keypair, commits: Sequence[WeightCommit], **sending: Unpack[Sending]
    ) -> Included:
        """Reveal several commits of one subnet."""
        return await self._submitter.send(forms.batch_reveal_weights(commits), hotkey, **sending)
