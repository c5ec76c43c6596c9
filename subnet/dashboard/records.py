"""What a validator's ledger tells the page: scores over time, the last rounds, and one miner down to its receipts.

The file is read in a thread, while its validator writes. Where there is none yet it is looked for again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from subnet.account import explain
from subnet.errors import StoreError, SubnetError

if TYPE_CHECKING:
    from subnet.account import Account
    from subnet.dashboard.board import Board
    from subnet.store import History, Result, Round

EVERY: Final = 2.0
"""Seconds between two looks at the file."""
ROUNDS: Final = 300
"""Rounds of the chart of scores."""
LINES: Final = 8
"""Miners that it draws: the best now."""
LAST: Final = 25
"""Rounds that are listed."""
TOLD: Final = 40
"""Rounds that are told of one miner."""
LONGEST: Final = 300
"""Characters of an error or reason."""


class LedgerSource:
    """One ledger for a board. ``open_ledger`` raises SubnetError while there is none."""

    def __init__(self, board: Board, open_ledger: Callable[[], History]) -> None:
        self._board, self._open = board, open_ledger
        self._history: History | None = None
        self._stamp: tuple[int, ...] = ()
        self._busy = threading.Lock()

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            try:
                told = await asyncio.to_thread(self._look)
            except SubnetError as error:
                told = {"ok": False, "problem": error.message[:LONGEST], "remedy": error.remedy[:LONGEST]}
            if told is not None:
                self._board.put("ledger", told)
            await asyncio.sleep(EVERY)

    async def miner(self, who: int | str) -> dict[str, Any]:
        """One miner's account: score, rounds, receipts verified here. Raises StoreError for one it does not know."""
        return await asyncio.to_thread(self._miner, who)

    async def round(self, number: int) -> dict[str, Any]:
        """One round and what each miner got in it. Raises StoreError for what it does not know."""
        return await asyncio.to_thread(self._round, number)

    def close(self) -> None:
        """Let go of the file; idempotent."""
        with self._busy:
            self._drop()

    def _drop(self) -> None:
        if self._history is not None:
            self._history.close()
            self._history = None

    def _opened(self) -> History:
        """The ledger; anew where its file was replaced. To be called under the lock."""
        history = self._history
        if history is not None:
            try:
                file = os.stat(history.path)
            except OSError as error:
                self._drop()
                raise StoreError(f"{history.path} is gone: {error.strerror}") from None
            if (file.st_dev, file.st_ino) == self._stamp:
                return history
            self._drop()
        history = self._open()
        try:
            file = os.stat(history.path)
        except OSError as error:
            history.close()
            raise StoreError(f"{history.path} is gone: {error.strerror}") from None
        self._history, self._stamp = history, (file.st_dev, file.st_ino)
        return history

    def _look(self) -> dict[str, Any]:
        with self._busy:
            history = self._opened()
            try:
                with history.at_one_moment():
                    return _summary(history)
            except StoreError:
                self._drop()
                raise

    def _miner(self, who: int | str) -> dict[str, Any]:
        with self._busy:
            history = self._opened()
            account = explain(history, who, rounds=TOLD)
            with history.at_one_moment():
                part = history.results_of(account.hotkey, TOLD)
        return _account(account) | {"rounds": [_round(done) | _result(result) for done, result in reversed(part)]}

    def _round(self, number: int) -> dict[str, Any]:
        with self._busy:
            history = self._opened()
            with history.at_one_moment():
                done = history.round(number)
                if done is None:
                    raise StoreError(f"round {number} is not in the ledger")
                return _round(done) | {"results": [_result(one) for one in history.results(number)]}


def _summary(history: History) -> dict[str, Any]:
    genesis, netuid, validator = history.identity()
    scores = sorted(history.scores().values(), key=lambda score: (-score.value, score.uid))
    rounds = history.latest_rounds(LAST)
    chart = _chart(history, [score.hotkey for score in scores[:LINES]])
    sets = history.weights(limit=1)
    return {
        "ok": True,
        "genesis": genesis,
        "netuid": netuid,
        "validator": validator,
        "scores": [
            {
                "uid": score.uid,
                "hotkey": score.hotkey,
                "moving": score.value,
                "rounds": score.rounds,
                "moved": score.time,
            }
            for score in scores
        ],
        "chart": chart | {"uids": [score.uid for score in scores[:LINES]]},
        "rounds": [_round(one) for one in reversed(rounds)],
        "weights_set": {"block": sets[-1].block, "time": sets[-1].time} if sets else None,
    }


def _chart(history: History, hotkeys: list[Any]) -> dict[str, Any]:
    """Moving scores by the time at which their round ended; None where a round did not move one."""
    moves = {hotkey: history.results_of(hotkey, ROUNDS, moved=True) for hotkey in hotkeys}
    ended = {done.id: done.ended for found in moves.values() for done, _ in found}
    numbers = sorted(ended)[-ROUNDS:]
    lines = []
    for found in moves.values():
        mine = {done.id: result.moving for done, result in found}
        lines.append([mine.get(number) for number in numbers])
    return {"times": [ended[number] for number in numbers], "hotkeys": hotkeys, "lines": lines}


def _round(one: Round) -> dict[str, Any]:
    return {
        "round": one.id,
        "kind": one.kind.value,
        "ended": one.ended,
        "seconds": round(one.ended - one.started, 3),
        "block": one.block,
        "asked": one.asked,
        "answered": one.answered,
        "error": one.error and one.error[:LONGEST],
    }


def _result(one: Result) -> dict[str, Any]:
    return {
        "uid": one.uid,
        "hotkey": one.hotkey,
        "score": one.score,
        "moving": one.moving,
        "elapsed": one.elapsed,
        "reason": one.reason and one.reason[:LONGEST],
    }


def _account(account: Account) -> dict[str, Any]:
    weight, share = account.weight
    return {
        "uid": account.uid,
        "hotkey": account.hotkey,
        "validator": account.validator,
        "moving": account.score.value if account.score else None,
        "moved_by": account.score.rounds if account.score else 0,
        "share": account.share,
        "holds": account.holds,
        "weight": {"u16": weight, "share": share, "block": account.weights.block if account.weights else None},
        "contributions": [
            {"round": one.round, "rule": one.rule, "score": one.score, "weight": one.weight, "part": one.part}
            for one in reversed(account.contributions)
        ],
        "receipts": [
            {
                "round": one.round,
                "digest": one.digest,
                "request": one.request,
                "response": one.response,
                "time": one.time,
                "problem": one.problem and one.problem[:LONGEST],
            }
            for one in reversed(account.receipts)
        ],
    }
