"""One run of a live scenario: the validators' own rounds, on a virtual clock, over a simulated wire.

Around the user's classes everything is what runs in production: the round engine with its deadline and interval, the
scorebook, the ledger (in a temporary folder, not waiting for the disk), deferred truths, the dendrite above its socket,
codec, admission, handlers. Simulated are the socket (:mod:`subnet.lab.wire`), the clock (:mod:`subnet.lab.clock`), and
the chain (:mod:`subnet.lab.settlement`). Handlers and ``asyncio.to_thread`` run in the loop's thread, one by one.

Seeds: Python's and numpy's global generators, the option ``seed`` of each neuron, the sampler of each validator, and
torch's generator if torch is loaded. A generator that user code makes without a seed is beyond that.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from subnet.errors import DeclarationError, SubnetError
from subnet.keys import load_key
from subnet.lab import rules
from subnet.lab.clock import Clock, VirtualLoop, virtual_time
from subnet.lab.live_actors import LiveActor
from subnet.lab.live_miners import MinerSeat, Traffic
from subnet.lab.record import Run
from subnet.lab.settlement import STAKE, U16, Settlement
from subnet.lab.tasks import Floats
from subnet.lab.voting import Group, stakes, vote
from subnet.lab.wire import SimulatedDendrite
from subnet.service import Loops
from subnet.store import Ledger
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid
from subnet.validators.rounds import Rounds
from subnet.validators.scorebook import Judgement, Scorebook
from subnet.validators.truths import Truths
from subnet.validators.weights import current

if TYPE_CHECKING:
    from substrateinterface import Keypair

    from subnet.lab.live import LiveScenario
    from subnet.validators import Question, Validator

NETUID = Netuid(1)
GENESIS = "0x" + "1a" * 32


def run(scenario: LiveScenario, seed: int, progress: Callable[[], object] | None = None) -> Run:
    """Play a scenario; the same scenario and seed give the same run, as far as user code allows.

    ``progress`` is called after each epoch. Raises DeclarationError where user code fails throughout, or an actor does.
    """
    scenario.check_together()
    with _seeded(seed), _quiet(), TemporaryDirectory(prefix="subnet-lab-") as folder:
        clock = Clock()
        with virtual_time(clock), asyncio.Runner(loop_factory=lambda: VirtualLoop(clock)) as runner:
            world = _Subnet(scenario, seed, clock, Path(folder))
            try:
                return runner.run(world.play(progress))
            finally:
                world.close()


class _Subnet:
    """The neurons of one run; validators have uids 0 .. V-1, miners those after them."""

    def __init__(self, s: LiveScenario, seed: int, clock: Clock, folder: Path) -> None:
        self.s, self.folder = s, folder
        # one stream for seeds, one for the wire, one for the honest, and one for each attack
        seeds, wire, *own = np.random.SeedSequence(seed).spawn(3 + len(s.attacks))
        numbers = seeds.generate_state(s.validators + s.miners) >> 1  # seeds as options: below 2**31
        self.groups = _groups(s, [np.random.default_rng(stream) for stream in own])
        self.keys = [_key(uid) for uid in range(s.validators + s.miners)]
        self.hotkeys = tuple(Hotkey(key.ss58_address) for key in self.keys)
        self.chain = Settlement(stakes(s), s.miners, s.params, s.variant, reveal=s.reveal, history=_looks_back(s))
        self.traffic = Traffic(clock, first_uid=s.validators, incentive=np.zeros(s.miners))
        self.snapshot = self._metagraph(0)
        self.miners = self._seat_miners([int(n) for n in numbers[s.validators :]], wire.spawn(s.miners))
        self.judges = [self._seat_judge(uid, int(numbers[uid])) for uid in range(s.validators)]

    async def play(self, progress: Callable[[], object] | None) -> Run:
        record = Run.empty(self.s, groups=len(self.groups))
        owner = np.concatenate([np.full(group.seats.size, index) for index, group in enumerate(self.groups)])
        for judge in self.judges:
            judge.open()
        for t in range(self.s.epochs):
            await self._epoch(t)
            record.note(t, self.chain.settle(), owner, self.chain.stake)
            if progress is not None:
                progress()
        await asyncio.gather(*(judge.loops.stop() for judge in self.judges))
        return replace(record, failed_rounds=self._failures())

    def close(self) -> None:
        for judge in self.judges:
            judge.close()

    async def _epoch(self, t: int) -> None:
        self.snapshot = snapshot = self._metagraph(t)
        self.traffic.epoch, self.traffic.incentive = t, self.chain.incentive[self.s.validators :]
        for seat in self.miners:
            seat.miner.attach(Hotkey(seat.key.ss58_address), snapshot)
        for judge in self.judges:
            judge.validator.attach(judge.hotkey, snapshot)
        await asyncio.gather(*(judge.judge(self.s.rounds) for judge in self.judges))
        if self.traffic.broken is not None:
            raise self.traffic.broken
        vote(self.chain, self.groups, t, np.stack([judge.weights(t, snapshot) for judge in self.judges]))

    def _failures(self) -> float:
        """The share of the honest validators' rounds that failed. Raises DeclarationError if nothing ever worked."""
        honest = self.judges[: self.s.honest_validators]
        failed = sum(judge.book.failed_rounds for judge in honest)
        total = len(honest) * self.s.rounds * self.s.epochs
        errors = [judge.book.last_error for judge in honest if judge.book.last_error is not None]
        if self.s.honest and failed == total and errors:
            raise rules.failure(f"{self.s.title}.round", self.s.epochs - 1, errors[-1]) from errors[-1]
        for judge in honest:
            if self.s.honest and judge.truths.last_error is not None:
                name = f"{self.s.title}.judge_deferred"
                raise rules.failure(name, self.s.epochs - 1, judge.truths.last_error) from judge.truths.last_error
        if self.s.honest and self.traffic.handled and self.traffic.failed == self.traffic.handled:
            error = self.traffic.last_error or RuntimeError("it failed")
            names = ", ".join(dict.fromkeys(recipe.kind.__name__ for recipe in self.s.miner))
            raise rules.failure(f"the handler of {names}", self.s.epochs - 1, error) from error
        return failed / total

    def _seat_miners(self, seeds: list[int], streams: list[np.random.SeedSequence]) -> list[MinerSeat]:
        seats = []
        whose = [(group, place) for group in self.groups for place in range(group.seats.size)]
        for number, ((group, place), seed, stream) in enumerate(zip(whose, seeds, streams, strict=True)):
            recipe = getattr(group.actor, "recipe", None) or self.s.miner[number % len(self.s.miner)]
            miner, uid = recipe.make(seed), self.s.validators + number
            miner.attach(self.hotkeys[uid], self.snapshot)
            _load(miner)
            seats.append(
                MinerSeat(
                    miner,
                    self.keys[uid],
                    uid=uid,
                    seat=place,
                    group=group,
                    traffic=self.traffic,
                    wire=np.random.default_rng(stream),
                    latency=self.s.latency,
                )
            )
        self.traffic.seats = seats
        return seats

    def _seat_judge(self, uid: int, seed: int) -> _Judge:
        validator = self.s.validator.make(seed)
        validator.attach(self.hotkeys[uid], self.snapshot)
        _load(validator)
        validator.check()
        validator.sampler.seed(seed)
        peers = {Hotkey(seat.key.ss58_address): seat for seat in self.miners}
        dendrite = SimulatedDendrite(
            self.keys[uid], peers, netuid=NETUID, genesis_hash=GENESIS, receipts=self.s.receipts
        )
        ledger = Ledger(
            self.folder / f"{uid}.db", genesis_hash=GENESIS, netuid=NETUID, validator=self.hotkeys[uid], durable=False
        )
        return _Judge(validator, uid, dendrite, ledger, lambda: self.snapshot)

    def _metagraph(self, t: int) -> Metagraph:
        s, n, chain = self.s, len(self.hotkeys), self.chain
        serves = np.arange(n) >= s.validators
        stake = np.zeros(n, dtype=np.uint64)
        stake[: s.validators] = chain.stake * STAKE
        block = max(t, 1) * s.params.tempo
        zeros = np.zeros(n, dtype=np.uint16)
        return Metagraph(
            netuid=NETUID,
            block=Block(block),
            block_hash="0x" + f"{block:064x}",
            tempo=s.params.tempo,
            hotkeys=self.hotkeys,
            coldkeys=tuple(Coldkey(hotkey) for hotkey in self.hotkeys),
            axons=tuple(AxonInfo(f"10.{u >> 8}.{u & 255}.1", 8091) if on else None for u, on in enumerate(serves)),
            stake=stake,
            active=np.ones(n, dtype=np.bool_),
            validator_permit=~serves,
            consensus=np.rint(chain.consensus * U16).astype(np.uint16),
            incentive=np.rint(chain.incentive * U16).astype(np.uint16),
            dividends=zeros.copy(),
            validator_trust=zeros.copy(),
            emission=np.zeros(n, dtype=np.uint64),
            last_update=np.full(n, max(block - 1, 0), dtype=np.uint64),
            block_at_registration=np.ones(n, dtype=np.uint64),
        )


class _Book(Scorebook):
    """A scorebook that also remembers why a round failed."""

    last_error: Exception | None = None

    async def record(self, judgement: Judgement) -> bool:
        if isinstance(judgement.error, Exception):
            self.last_error = judgement.error
        return await super().record(judgement)


class _Truths(Truths):
    """Truths that also remember why one could not be judged."""

    last_error: Exception | None = None

    async def _guarded(self, question: Question) -> Mapping[Hotkey, float] | None:
        try:
            return await super()._guarded(question)
        except Exception as error:
            self.last_error = error
            raise


class _Judge:
    """One validator with what runs it."""

    def __init__(
        self,
        validator: Validator,
        uid: int,
        dendrite: SimulatedDendrite,
        ledger: Ledger,
        snapshot: Callable[[], Metagraph],
    ) -> None:
        self.validator, self.uid, self.dendrite, self.ledger = validator, uid, dendrite, ledger
        self.hotkey, self._snapshot = Hotkey(dendrite.hotkey), snapshot
        self.loops = Loops()

    def open(self) -> None:
        """Make what belongs to the running loop."""
        self.book = _Book(self.validator, self.ledger, self._snapshot)
        self.truths = _Truths(self.validator, self.book, self.ledger, self._snapshot)
        self.validator.use(self.dendrite, self.truths)
        self.book.restore()
        self.rounds = Rounds(self.validator, self.book, self._snapshot)
        self.loops.start("truths", self.truths.step)

    def close(self) -> None:
        self.ledger.close()

    async def judge(self, rounds: int) -> None:
        """Make so many rounds, as many at a time as the validator wants."""
        left = rounds

        async def lane() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await asyncio.sleep(await self.rounds.one())

        await asyncio.gather(*(lane() for _ in range(min(rounds, self.rounds.lanes))))

    def weights(self, t: int, snapshot: Metagraph) -> Floats:
        """What the validator's own ``weigh`` makes of its moving scores: (M,) for the miners, not negative."""
        try:
            shares = self.validator.weigh(current(self.book.scores, snapshot), snapshot)
            row = np.zeros(len(snapshot))
            for uid, share in shares.items():
                row[int(uid)] = float(share)
        except Exception as error:  # user code may raise anything
            raise rules.failure(f"{type(self.validator).__name__}.weigh", t, error) from error
        first = int(np.flatnonzero(~snapshot.validator_permit)[0])
        return np.where(np.isfinite(row) & (row > 0), row, 0.0)[first:]


def _groups(s: LiveScenario, streams: list[np.random.Generator]) -> list[Group]:
    """The honest first, and then the attacks in order on the seats that are left."""
    honest, *others = streams
    m, v = s.honest_miners, s.honest_validators
    groups = [Group(LiveActor(miners=m, validators=0), honest, np.arange(m), np.arange(v))]
    for attack, rng in zip(s.attacks, others, strict=True):
        actor = copy.deepcopy(attack)
        if isinstance(actor, LiveActor):
            actor.begin()
        groups.append(Group(actor, rng, m + np.arange(actor.miners), v + np.arange(actor.validators)))
        m, v = m + actor.miners, v + actor.validators
    return groups


def _looks_back(s: LiveScenario) -> int:
    return max((attack.looks_back for attack in s.attacks), default=0)


def _load(neuron: Any) -> None:
    try:
        neuron.load()
    except SubnetError:
        raise
    except Exception as error:  # user code may raise anything
        name = type(neuron).__name__
        raise DeclarationError(
            f"{name}.load() failed: {type(error).__name__}: {error}", remedy="Mend it, or give it other options."
        ) from error


@lru_cache(maxsize=4096)
def _key(number: int) -> Keypair:
    return load_key(f"//lab{number}")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators that all share, and give them back as they were."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch = sys.modules.get("torch")  # never imported for this
    before = torch.get_rng_state() if torch is not None else None
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        if torch is not None:
            torch.set_rng_state(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Attacks make errors by the thousand, and the report counts them: the log has them under --verbose only."""
    log = logging.getLogger("subnet")
    before = log.level
    if not log.isEnabledFor(logging.DEBUG):
        log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(before)
