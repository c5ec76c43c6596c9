"""The soak's run without faults: the same seed, the same miners coming and going, and nothing that fails.

It follows the soak. Each validator is run once more, by the library's own round engine, scorebook and ledger, over the
lab's simulated wire: no chain, no sockets, no outage, nothing killed. It holds as many rounds as the validator did,
and its miners answer by the number of the round, as they did. So what each score must be after each round is known.

Only the absences that the soak itself made must be the same in both. The driver says when a miner was stopped, or its
uid given to another, and at which port it was back; the validator's diary says in which round it first used that port.
In between (:func:`open_rounds`) it was for chance to say whether the miner answered, and the run without faults does as
the ledger says. In every other round each miner answers, whatever the ledger says: that is where faults would show.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _soak_neurons as neurons
import numpy as np
from substrateinterface import Keypair

from subnet import Caller, Message, Synapse
from subnet.lab.wire import SimulatedDendrite
from subnet.store import History, Ledger, Result
from subnet.types import AxonInfo, Block, Coldkey, Hotkey, Metagraph, Netuid
from subnet.validators.rounds import Rounds
from subnet.validators.scorebook import Scorebook

GENESIS = "0x" + "50" * 32


@dataclass(frozen=True)
class Seat:
    """A miner, the uid that it had and the block from which on; which of the soak's miners it is."""

    hotkey: Hotkey
    index: int
    uid: int
    registered: int


@dataclass(frozen=True)
class Absence:
    """From ``since`` on a miner was not to be relied on; at the time ``back`` it served again, at ``port``.

    Seconds of the machine's monotonic clock; no port: its uid went to another, it is gone for good.
    """

    hotkey: Hotkey
    since: float
    port: int | None = None
    back: float = 0.0


@dataclass(frozen=True)
class Held:
    """A round as the validator's diary has it; ``met`` are the ports at which it asked miners for the first time."""

    number: int
    began: float
    ended: float
    met: Mapping[str, int]


def read_diary(path: Path) -> list[Held]:
    return [Held(*json.loads(line)) for line in path.read_text().splitlines()]


def seen_again(absence: Absence, diary: Sequence[Held]) -> Held | None:
    """The first round that asked the miner where it was back."""
    later = (one for one in diary if one.ended >= absence.since)
    return next((one for one in later if one.met.get(absence.hotkey) == absence.port), None)


def open_rounds(absences: Sequence[Absence], diary: Sequence[Held]) -> dict[Hotkey, set[int]]:
    """The rounds in which each miner may have been absent: from where it was stopped to where it was asked anew."""
    found: dict[Hotkey, set[int]] = {}
    for absence in absences:
        again = seen_again(absence, diary) if absence.port is not None else None
        numbers = {one.number for one in diary if one.ended >= absence.since}
        found.setdefault(absence.hotkey, set()).update(n for n in numbers if again is None or n < again.number)
    return found


@dataclass(frozen=True)
class Part:
    """A miner in a round: whether it is asked, and whether it answers then."""

    seat: Seat
    asked: bool = True
    answers: bool = True


def plan(
    seats: Sequence[Seat], absences: Sequence[Absence], diary: Sequence[Held], results: Mapping[int, Sequence[Result]]
) -> list[list[Part]]:
    """Who is there in each round of the run without faults. ``results`` are the ledger's, by round."""
    opened = open_rounds(absences, diary)
    first = {seat.hotkey: next((one.number for one in diary if seat.hotkey in one.met), None) for seat in seats}
    rounds = []
    for number, told in results.items():
        by_uid: dict[int, Seat] = {}
        for seat in sorted(seats, key=lambda seat: seat.registered):
            met = first[seat.hotkey]
            if met is not None and met <= number:
                by_uid[seat.uid] = seat
        moved = {result.hotkey: result for result in told if result.moving is not None}
        rounds.append([_part(seat, number in opened.get(seat.hotkey, ()), moved) for seat in by_uid.values()])
    return rounds


def _part(seat: Seat, is_open: bool, moved: Mapping[Hotkey, Result]) -> Part:
    result = moved.get(seat.hotkey)
    if not is_open:
        return Part(seat)
    return Part(seat, asked=result is not None, answers=result is not None and result.reason is None)


async def without_faults(
    path: Path,
    key: Keypair,
    judge: neurons.Judge,
    seed: int,
    rounds: Sequence[Collection[Part]],
    book_of: Callable[..., Scorebook] = Scorebook,
) -> None:
    """Hold these rounds, into a new ledger. ``judge`` is new too."""
    hotkey, netuid = Hotkey(key.ss58_address), Netuid(1)
    there: dict[Hotkey, Any] = {}
    snapshot = _metagraph(0, [])
    dendrite = SimulatedDendrite(key, there, netuid=netuid, genesis_hash=GENESIS)
    judge.interval = 0.0
    with Ledger(path, genesis_hash=GENESIS, netuid=netuid, validator=hotkey, durable=False) as ledger:
        book = book_of(judge, ledger, lambda: snapshot)
        book.restore()
        judge.use(dendrite)
        engine = Rounds(judge, book, lambda: snapshot)
        for number, parts in enumerate(rounds, 1):
            snapshot = _metagraph(number, parts)
            judge.attach(hotkey, snapshot)
            there.clear()
            there.update((part.seat.hotkey, _Peer(key, seed, part.seat.index)) for part in parts if part.answers)
            await engine.one()
    await dendrite.close()


class _Peer:
    """What the simulated wire needs of a miner (:class:`subnet.lab.wire.Peer`)."""

    def __init__(self, key: Keypair, seed: int, index: int) -> None:
        self.key, self._miner = key, neurons.Worthy(seed, index)  # nothing is signed here

    async def arrive(self) -> None:
        """At once."""

    def synapse(self, name: str) -> type[Synapse[Any]] | None:
        return neurons.Ask if name == neurons.Ask.__name__ else None

    async def answer(self, request: Synapse[Any], caller: Caller) -> Message | bytes:
        assert isinstance(request, neurons.Ask)
        return await self._miner.ask(request, caller)

    async def stream(self, request: Synapse[Any], caller: Caller) -> AsyncGenerator[Message, None]:
        while False:
            yield neurons.Worth(part=0.0)


def _metagraph(number: int, parts: Collection[Part]) -> Metagraph:
    """Of these miners, and of uids that nobody can be asked at. Ports are others in each round: no miner is left alone
    for the failures that it had at the last one."""
    n = 1 + max((part.seat.uid for part in parts), default=0)
    hotkeys, registered = [Hotkey(f"nobody-{uid}") for uid in range(n)], np.zeros(n, "uint64")
    served: list[AxonInfo | None] = [None] * n
    for part in parts:
        uid = part.seat.uid
        hotkeys[uid], registered[uid] = part.seat.hotkey, part.seat.registered
        if part.asked:
            served[uid] = AxonInfo(f"10.0.{uid >> 8}.{uid & 255}", 1024 + number % 60_000)
    return Metagraph(
        netuid=Netuid(1),
        block=Block(number),
        block_hash="0x" + f"{number:064x}",
        tempo=1,
        hotkeys=tuple(hotkeys),
        coldkeys=tuple(Coldkey(hotkey) for hotkey in hotkeys),
        axons=tuple(served),
        active=np.ones(n, "bool"),
        validator_permit=np.zeros(n, "bool"),
        block_at_registration=registered,
        consensus=np.zeros(n, "uint16"),
        incentive=np.zeros(n, "uint16"),
        dividends=np.zeros(n, "uint16"),
        validator_trust=np.zeros(n, "uint16"),
        stake=np.zeros(n, "uint64"),
        emission=np.zeros(n, "uint64"),
        last_update=np.zeros(n, "uint64"),
    )


def results_of(history: History) -> dict[int, list[Result]]:
    """A ledger's results, by round."""
    return {one.id: history.results(one.id) for one in history.rounds(limit=1_000_000)}
