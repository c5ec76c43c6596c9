"""Scores that come later: answers wait in the ledger until their truth is known, over restarts, and count once.

``Validator.defer`` puts a question's replies on disk. When it is due, :meth:`Truths.step` asks ``judge_deferred`` for
the scores, again and again until they are known or ``truth_days`` have passed; ``Validator.resolve`` may give them
first. Either way they move the scores as a round does, in the transaction that closes the question.

Log events: ``truth`` (as ``round``, and the question), ``truth_failed`` (question, exception: the hook raised; it
is asked again), ``truth_expired`` (questions), ``answer_left_out`` and ``answer_unreadable`` (question, hotkey, error),
``answers_left_out`` (question, count, hotkeys, remedy: their miners' shares of ``most_answer_mib`` are used up).
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING, Any, Final, TypeVar

from subnet import codec
from subnet.errors import StoreError, WireError
from subnet.store import MAX_ANSWER, MAX_RECEIPT, Answer, Deferred, Kind, Ledger
from subnet.synapse import Message
from subnet.types import Hotkey, Metagraph
from subnet.validators.base import Validator
from subnet.validators.journal import Heard
from subnet.validators.scorebook import Judgement, Scorebook, finite

if TYPE_CHECKING:
    from subnet.dendrite import Failure, Ok

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)

TICK: Final = 1.0
"""Seconds between two looks for questions that are due."""
MOST_NAMED: Final = 20
SHARES: Final = 64
"""Of a subnet with fewer neurons each has this part of the room for answers: it may grow."""
_DAY: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Question:
    """A deferred question: its ``id``, when it is ``due`` and when it was ``made`` (unix seconds)."""

    id: str
    due: float
    made: float
    kept: Mapping[Hotkey, Answer]
    """Who answered, with the bytes of the reply."""

    def answers(self, kind: type[M]) -> dict[Hotkey, M]:
        """The replies as the messages they were. One that no longer is a ``kind`` (the class has changed since) is
        left out, and named in the log."""
        found = {}
        for hotkey, answer in self.kept.items():
            try:
                found[hotkey] = codec.decode(kind, answer.body)
            except WireError as error:
                about = {"question": self.id, "hotkey": hotkey, "error": error.message}
                log.warning("answer_unreadable", extra=about)
        return found


class Truths:
    """What ``defer`` and ``resolve`` of one validator do, and the loop that asks for the truth of what is due."""

    def __init__(
        self, validator: Validator, book: Scorebook, ledger: Ledger, snapshot: Callable[[], Metagraph]
    ) -> None:
        self._validator, self._book, self._ledger, self._snapshot = validator, book, ledger, snapshot
        self._not_before: dict[str, float] = {}
        self._deferring = threading.Lock()

    async def defer(self, question: str, replies: Sequence[Ok[Any] | Failure], due: float) -> bool:
        """See :meth:`Validator.defer`."""
        from subnet.dendrite import Ok

        good = [reply for reply in replies if isinstance(reply, Ok)]
        answers = [answer for answer in map(self._answer, good, repeat(question)) if answer is not None]
        kept = Deferred(question, due, time.time(), {answer.hotkey: answer for answer in answers})
        return await asyncio.to_thread(self._defer, kept)

    def _answer(self, reply: Ok[Any], question: str) -> Answer | None:
        """A reply as it is kept; None for one that can't be, which is its miner's loss and nobody else's."""
        neuron = self._snapshot().neuron(reply.hotkey)
        if neuron is None:
            return None
        try:
            body = codec.encode(reply.value)
        except WireError as error:
            body, why = b"", error.message
        else:
            why = f"{len(body)} bytes; {MAX_ANSWER} can be kept" if len(body) > MAX_ANSWER else ""
        if why:
            log.warning("answer_left_out", extra={"question": question, "hotkey": reply.hotkey, "error": why})
            return None
        receipt = b"" if reply.receipt is None else reply.receipt.to_bytes()[:MAX_RECEIPT]
        return Answer(reply.hotkey, neuron.uid, neuron.block_at_registration, body, receipt)

    def _defer(self, question: Deferred) -> bool:
        most = self._validator.most_questions
        with self._deferring:  # between what is counted and what is written nothing else is
            if self._ledger.open_count() >= most:
                raise StoreError(
                    f"{most} deferred questions wait already",
                    remedy="Let judge_deferred or resolve close them, lower truth_days, or raise most_questions.",
                )
            return self._ledger.defer(self._within_shares(question))

    def _within_shares(self, question: Deferred) -> Deferred:
        """The question with the answers that there is room for. Raises StoreError if there is none for anybody."""
        held, room = self._ledger.held(), self._validator.most_answer_mib * 2**20
        share = room / max(len(self._snapshot()), SHARES)
        sizes = {hotkey: len(answer.body) + len(answer.receipt) for hotkey, answer in question.answers.items()}
        over = [hotkey for hotkey, size in sizes.items() if held.get(hotkey, 0) + size > share]
        remedy = "Let judge_deferred or resolve close questions, defer what is smaller, or raise most_answer_mib."
        if over:
            about = {"question": question.id, "count": len(over), "hotkeys": over[:MOST_NAMED], "remedy": remedy}
            log.warning("answers_left_out", extra=about)
        kept = {hotkey: answer for hotkey, answer in question.answers.items() if hotkey not in set(over)}
        if sum(held.values()) + sum(sizes[hotkey] for hotkey in kept) > room:  # by those of miners that have left
            raise StoreError(f"{self._validator.most_answer_mib:g} MiB of answers wait already", remedy=remedy)
        return replace(question, answers=kept)

    async def resolve(self, question: str, scores: Mapping[Hotkey, float]) -> bool:
        """See :meth:`Validator.resolve`."""
        found = await asyncio.to_thread(self._ledger.deferred, question)
        return found is not None and await self._count(found, scores)

    async def step(self) -> float:
        """One pass of the loop: give up what is too old, ask for the truth of what is due."""
        now = time.time()
        expired = await asyncio.to_thread(self._ledger.expire, now - self._validator.truth_days * _DAY, now)
        if expired:
            log.warning("truth_expired", extra={"count": len(expired), "questions": expired[:MOST_NAMED]})
        if type(self._validator).judge_deferred is Validator.judge_deferred:
            return TICK  # it only resolves
        due = await asyncio.to_thread(self._ledger.open_questions, self._validator.most_questions, due=now)
        clock = time.monotonic()
        self._not_before = {one.id: self._not_before[one.id] for one in due if one.id in self._not_before}
        for one in due:
            if self._not_before.get(one.id, clock) <= clock:
                self._not_before[one.id] = time.monotonic() + self._validator.truth_retry
                await self._ask(one.id)
        return TICK

    async def _ask(self, id_: str) -> None:
        """Ask the validator for one question's truth; what goes wrong is logged and asked again later."""
        found = await asyncio.to_thread(self._ledger.deferred, id_)
        if found is None:
            return
        question = Question(found.id, found.due, found.made, found.answers)
        task = asyncio.create_task(self._guarded(question), name="judge_deferred")
        try:
            await asyncio.wait({task}, timeout=self._validator.deadline)
        finally:
            task.cancel()
        try:
            if not task.done():
                raise TimeoutError(f"judge_deferred took more than {self._validator.deadline} s")
            scores = task.result()
            if scores is not None:
                await self._count(found, scores)
        except StoreError:
            raise
        except (Exception, asyncio.CancelledError) as error:
            ours = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and ours is not None and ours.cancelling():
                raise
            log.error("truth_failed", extra={"question": id_}, exc_info=error)

    async def _guarded(self, question: Question) -> Mapping[Hotkey, float] | None:
        try:
            return await self._validator.judge_deferred(question)
        except SystemExit as error:  # would end the loop itself if it came out of a task
            raise RuntimeError(f"judge_deferred ended with {error!r}") from None

    async def _count(self, question: Deferred, scores: Mapping[Hotkey, float]) -> bool:
        """Move the scores of those who answered. Raises TypeError or ValueError for what is no mapping of scores."""
        if not isinstance(scores, Mapping):
            raise TypeError(f"the truth is a {type(scores).__name__}, expected a mapping of hotkey to score")
        judged = {}
        for hotkey, score in scores.items():
            if hotkey in question.answers:
                judged[hotkey] = finite(score, hotkey=hotkey)
            else:
                log.warning("score_ignored", extra={"hotkey": hotkey, "reason": "it gave no answer"})
        answers = question.answers.values()
        heard = {a.hotkey: Heard(a.uid, answered=True, receipts=(a.receipt,) if a.receipt else ()) for a in answers}
        return await self._book.record(
            Judgement(
                self._snapshot(),
                Kind.TRUTH,
                question.id,
                heard=heard,
                scores=judged,
                registered={answer.hotkey: answer.registered for answer in answers},
            )
        )
