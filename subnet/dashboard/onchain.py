"""What the chain tells the page: one task that reads the metagraph and the weights at new heads.

Blocks that come faster than :data:`PACE` are taken together. While the chain does not answer, what was read last stays
on the board, with the reason and the time since when it is stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from subnet.errors import ChainError, SubnetError
from subnet.telemetry import HARMLESS
from subnet.types import U16_MAX

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from subnet.chain import Chain
    from subnet.chain.accounts import Identity
    from subnet.dashboard.board import Board
    from subnet.types import Metagraph

log = logging.getLogger(__name__)

PACE: Final = 1.0
"""The least seconds between two reads of the metagraph."""
QUIET: Final = 5.0
"""Seconds without a new head after which the chain is asked whether it is there."""
PAUSES: Final = (1.0, 30.0)
"""The least and the most seconds between two tries to connect."""
POINTS: Final = 600
"""Points of the emission chart that are kept."""
PAST: Final = 24
"""Epochs before the page was opened whose emission is read, as far as the node remembers."""
LINES: Final = 8
"""Neurons that the emission chart draws: those that earn most now."""
NAMES_EVERY: Final = 300.0
"""Seconds between two reads of identities."""
LONGEST_NAME: Final = 64


class ChainSource:
    """Follows one subnet for a board. ``connect`` makes the client, anew after a failure that it can't mend itself."""

    def __init__(self, board: Board, netuid: int, connect: Callable[[], Awaitable[Chain]]) -> None:
        self._board, self._netuid, self._connect = board, netuid, connect
        self._state: dict[str, Any] = {"netuid": netuid, "ok": False, "problem": "connecting", "neurons": []}
        self._names: dict[str, str] = {}
        self._named_at = -NAMES_EVERY
        self._emission: deque[tuple[int, tuple[str, ...], npt.NDArray[np.uint64]]] = deque(maxlen=POINTS)
        board.put("chain", self._state)

    async def run(self) -> None:
        """Go on until cancelled."""
        pause = PAUSES[0]
        while True:
            try:
                async with await self._connect() as chain:
                    pause = PAUSES[0]
                    self._begin(chain.genesis_hash)
                    await self._follow(chain)
            except SubnetError as error:
                self._stale(error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSES[1])

    def _begin(self, genesis: str) -> None:
        """Forget what belongs to another chain: a local one that was wiped began anew."""
        if self._state.get("genesis", genesis) == genesis:
            return
        self._emission.clear()
        self._names, self._named_at = {}, -NAMES_EVERY
        self._state = {"netuid": self._netuid, "ok": False, "problem": "another chain", "neurons": []}
        self._board.put("chain", self._state)
        self._board.put("weights", {"rows": [], "max": U16_MAX})
        self._board.put("emission", {"blocks": [], "total_rao": [], "lines": []})

    async def _follow(self, chain: Chain) -> None:
        fresh = asyncio.Event()

        async def listen() -> None:
            async for _ in chain.heads():
                fresh.set()

        listener = asyncio.create_task(listen(), name="dashboard heads")
        past: asyncio.Task[None] | None = None
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(fresh.wait(), QUIET)
                if listener.done():
                    listener.result()  # raises what ended it
                moved = fresh.is_set()
                fresh.clear()
                await self._look(chain, moved=moved)
                if past is None and self._state["ok"]:
                    past = asyncio.create_task(self._look_back(chain), name="dashboard past")
                await asyncio.sleep(PACE)
        finally:
            for task in (listener, past):
                if task is not None:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, SubnetError):
                        await task

    async def _look(self, chain: Chain, *, moved: bool) -> None:
        """Read what is new; a failure is put on the board, and what was read before stays."""
        try:
            if not moved and self._state["ok"]:
                await chain.block_number()
                return
            await self._read(chain)
        except ChainError as error:
            self._stale(error)

    async def _read(self, chain: Chain) -> None:
        metagraph = await chain.metagraph(self._netuid)
        weights = await chain.weights(self._netuid, metagraph.block)
        epoch = await chain.next_epoch_block(self._netuid)
        await self._read_names(chain, metagraph)
        self._state = {
            "ok": True,
            "problem": None,
            "since": None,
            "seen": time.time(),
            "endpoint": chain.endpoint,
            "genesis": chain.genesis_hash,
            "next_epoch": epoch,
            **self._as_data(metagraph),
        }
        self._board.put("chain", self._state)
        rows = [[int(uid), [[int(target), value] for target, value in row]] for uid, row in sorted(weights.items())]
        self._board.put("weights", {"rows": rows, "max": U16_MAX})
        self._note_emission(metagraph)

    def _stale(self, error: SubnetError) -> None:
        since = self._state.get("since") or time.time()
        log.debug("the chain does not answer", extra={"error": error.message})
        told = {"ok": False, "problem": error.message[:300], "remedy": error.remedy[:300], "since": since}
        self._state = self._state | told
        self._board.put("chain", self._state)

    async def _read_names(self, chain: Chain, metagraph: Metagraph) -> None:
        """Names by coldkey; a runtime that has none, or a node that refuses, leaves them out."""
        if time.monotonic() - self._named_at < NAMES_EVERY:
            return
        try:
            found = await chain.identities(sorted(set(metagraph.coldkeys)))
        except ChainError as error:
            log.debug("identities are left out", extra={"error": error.message})
            found = {}
        self._names = {coldkey: _name(identity) for coldkey, identity in found.items() if identity is not None}
        self._named_at = time.monotonic()

    def _as_data(self, metagraph: Metagraph) -> dict[str, Any]:
        return {
            "netuid": metagraph.netuid,
            "block": metagraph.block,
            "tempo": metagraph.tempo,
            "owner": metagraph.owner_hotkey,
            "neurons": [one.as_dict() | {"name": self._names.get(one.coldkey, "")} for one in metagraph],
        }

    # Emission over time.

    async def _look_back(self, chain: Chain) -> None:
        """The epochs before now, newest first, until the node has forgotten."""
        block, tempo = int(self._state["block"]), max(int(self._state["tempo"]), 1)
        for past in range(block - tempo, max(block - PAST * tempo, 0), -tempo):
            try:
                metagraph = await chain.metagraph(self._netuid, past)
            except ChainError:
                return  # a node that keeps no more, or the subnet was not there yet
            if len(self._emission) >= POINTS:
                return
            self._emission.appendleft((past, metagraph.hotkeys, metagraph.emission))
            self._show_emission()

    def _note_emission(self, metagraph: Metagraph) -> None:
        step = max(metagraph.tempo // 4, 1)
        while self._emission and metagraph.block < self._emission[-1][0]:
            self._emission.pop()  # the chain was reset to an earlier block
        if not self._emission or metagraph.block >= self._emission[-1][0] + step:
            self._emission.append((metagraph.block, metagraph.hotkeys, metagraph.emission))
            self._show_emission()

    def _show_emission(self) -> None:
        _, hotkeys, newest = self._emission[-1]
        best = sorted(range(len(hotkeys)), key=lambda uid: (-int(newest[uid]), uid))[:LINES]
        places = [{hotkey: uid for uid, hotkey in enumerate(names)} for _, names, _ in self._emission]
        lines = []
        for uid in best:
            row = [
                int(values[places[i][hotkeys[uid]]]) if hotkeys[uid] in places[i] else None
                for i, (_, _, values) in enumerate(self._emission)
            ]
            lines.append({"uid": uid, "hotkey": hotkeys[uid], "rao": row})
        blocks = [block for block, _, _ in self._emission]
        total = [int(values.sum()) for _, _, values in self._emission]
        self._board.put("emission", {"blocks": blocks, "total_rao": total, "lines": lines})


def _name(identity: Identity) -> str:
    return identity.name.translate(HARMLESS)[:LONGEST_NAME]
