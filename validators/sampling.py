"""Whom a round asks: from a metagraph snapshot to the neurons that are asked.

The policies are pure functions; a :class:`Sampler` holds what they must know: when each miner was asked last, and
when the present turn began. The ledger gives both back after a restart.

==========  ===================================================================================================
all         everybody that serves
uniform     at random, nobody twice until everybody was asked: then a new turn begins
stale       stratified by staleness: at random within four strata, more from those not asked for longest
uncertain   at random, in proportion to the standard error of each score: more of those of whom little is known
==========  ===================================================================================================
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from subnet.types import Hotkey, Metagraph, Neuron

POLICIES: Final = ("all", "uniform", "stale", "uncertain")
STRATA: Final = 4
EXPLORED: Final = 0.1
"""Part of the uncertain policy's draws that goes to everybody alike: a miner whose score is beyond doubt may change."""


def everyone(metagraph: Metagraph, but: str = "") -> list[Neuron]:
    """All neurons that say where they serve, in uid order, without the hotkey ``but`` (one's own)."""
    return [
        neuron
        for neuron in metagraph.neurons
        if neuron.axon is not None and neuron.axon.port > 0 and neuron.hotkey != but
    ]


def at_random(peers: Sequence[Neuron], count: int, dice: random.Random) -> list[Neuron]:
    """``count`` of the peers (all, if there are fewer), each as likely as any other, in uid order."""
    chosen = dice.sample(list(peers), min(max(count, 0), len(peers)))
    return _in_order(chosen)


def without_repeats(
    peers: Sequence[Neuron], count: int, asked: Collection[Hotkey], dice: random.Random
) -> tuple[list[Neuron], bool]:
    """``count`` of the peers that are not in ``asked``, at random; the end of a turn may leave fewer.

    Where all of them are, a new turn begins and they are drawn from everybody. Gives the peers in uid order, and
    whether a turn began.
    """
    left = [peer for peer in peers if peer.hotkey not in asked]
    return at_random(left or peers, count, dice), not left


def by_staleness(
    peers: Sequence[Neuron], count: int, waits: Mapping[Hotkey, float], dice: random.Random
) -> list[Neuron]:
    """``count`` of the peers, more of those that wait for longer; in uid order.

    ``waits`` is how long ago each was asked, in any unit; who is missing there was never asked and counts as twice
    the longest. The peers, sorted by it, are cut into four strata of like size; each stratum gets places in
    proportion to the waits in it, at least one of eight or more, and fills them at random.
    """
    count = min(max(count, 0), len(peers))
    longest = max((waits[peer.hotkey] for peer in peers if peer.hotkey in waits), default=0.0) or 1.0
    waiting = {peer.hotkey: max(waits.get(peer.hotkey, 2 * longest), 0.0) for peer in peers}
    ordered = sorted(peers, key=lambda peer: (-waiting[peer.hotkey], peer.uid))
    parts = max(1, min(STRATA, len(ordered)))
    bounds = [len(ordered) * part // parts for part in range(parts + 1)]
    strata = [ordered[begin:end] for begin, end in itertools.pairwise(bounds)]
    places = _places(count, [math.fsum(waiting[peer.hotkey] for peer in one) for one in strata], list(map(len, strata)))
    chosen = [peer for one, place in zip(strata, places, strict=True) for peer in dice.sample(one, place)]
    return _in_order(chosen)


def by_uncertainty(
    peers: Sequence[Neuron], count: int, errors: Mapping[Hotkey, float], dice: random.Random
) -> list[Neuron]:
    """``count`` of the peers, drawn in proportion to ``errors``, the standard error of each score; in uid order.

    Who is missing there has too few scores to tell and counts as the largest. A tenth of the weight is everybody's
    alike. Drawn without replacement as by Efraimidis and Spirakis, "Weighted random sampling with a
    reservoir", Information Processing Letters 2006.
    """
    known = [errors[peer.hotkey] for peer in peers if peer.hotkey in errors]
    largest = max(known, default=0.0) or 1.0
    weights = {peer.hotkey: errors.get(peer.hotkey, largest) / largest for peer in peers}
    total = math.fsum(weights.values()) or 1.0
    floor = EXPLORED / max(len(peers), 1)

    def key(peer: Neuron) -> float:
        weight = (1 - EXPLORED) * weights[peer.hotkey] / total + floor
        return math.log(1.0 - dice.random()) / weight  # 1 - random() is above 0

    return _in_order(sorted(peers, key=key, reverse=True)[: max(count, 0)])


def best(peers: Sequence[Neuron], scores: Mapping[Hotkey, float], count: int) -> list[Neuron]:
    """The ``count`` peers of the highest scores, in an order drawn in proportion to them.

    Scores of 0 or below count only if nobody has more; then the order is as it falls.
    """
    dice = random.Random()
    found = [peer for peer in peers if scores.get(peer.hotkey, 0.0) > 0]
    if not found:
        return dice.sample(list(peers), min(count, len(peers)))
    found = sorted(found, key=lambda peer: (-scores[peer.hotkey], peer.uid))[: max(count, 0)]
    return sorted(found, key=lambda peer: math.log(1.0 - dice.random()) / scores[peer.hotkey], reverse=True)


class Sampler:
    """Chooses by one of :data:`POLICIES`, ``size`` peers a round, and remembers whom it chose where the policy asks.

    ``asked`` (unix seconds of each hotkey's last time) and ``turn`` (when the present turn began) may be set from
    what a former life left.
    """

    def __init__(self, policy: str, size: int, *, dice: random.Random | None = None) -> None:
        if policy not in POLICIES:
            raise ValueError(f"{policy!r} is none of {', '.join(POLICIES)}")
        self.policy, self.size = policy, size
        self.asked: dict[Hotkey, float] = {}
        self.turn = 0.0
        self._dice = dice or random.Random()

    def seed(self, seed: int) -> None:
        """Draw from here on as everybody does who was given this seed: for the lab and for tests."""
        self._dice.seed(seed)

    def choose(self, peers: Sequence[Neuron], errors: Mapping[Hotkey, float], now: float) -> list[Neuron]:
        """Whom to ask at unix time ``now``, in uid order; ``errors`` as for :func:`by_uncertainty`."""
        if self.policy == "all":
            return list(peers)
        now = max(now, self.turn)  # a clock that was put back must not undo a turn
        if self.policy == "uniform":
            this_turn = {hotkey for hotkey, at in self.asked.items() if at >= self.turn}
            chosen, began = without_repeats(peers, self.size, this_turn, self._dice)
            self.turn = now if began else self.turn
        elif self.policy == "stale":
            waits = {hotkey: now - at for hotkey, at in self.asked.items()}
            chosen = by_staleness(peers, self.size, waits, self._dice)
        else:
            chosen = by_uncertainty(peers, self.size, errors, self._dice)
        present = {peer.hotkey for peer in peers}
        self.asked = {hotkey: at for hotkey, at in self.asked.items() if hotkey in present}
        self.asked.update((peer.hotkey, now) for peer in chosen)
        return chosen


def _places(count: int, weights: Sequence[float], rooms: Sequence[int]) -> list[int]:
    """``count`` places dealt out by ``weights``: to each room at most what fits in it, and one of many at least."""
    places = [min(int(count >= 2 * len(rooms)), room) for room in rooms]
    while sum(places) < count:
        total = math.fsum(weights) or 1.0
        lacking = [count * weight / total - place for weight, place in zip(weights, places, strict=True)]
        best = max((i for i, room in enumerate(rooms) if places[i] < room), key=lambda i: lacking[i])
        places[best] += 1
    return places


def _in_order(peers: Sequence[Neuron]) -> list[Neuron]:
    return sorted(peers, key=lambda neuron: neuron.uid)
