"""How a subnet's validators vote, whatever it was that they judged: the honest by scores, attacks as they like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from subnet.errors import DeclarationError
from subnet.lab import rules
from subnet.lab.actors import Actor, Seen, Uids
from subnet.lab.settlement import Settlement
from subnet.lab.tasks import Floats


class Stakes(Protocol):
    """The part of a scenario that says who holds what."""

    @property
    def attacks(self) -> Sequence[Actor]: ...
    @property
    def honest_validators(self) -> int: ...
    @property
    def attacking_stake(self) -> float: ...
    @property
    def skew(self) -> float: ...


@dataclass(eq=False)
class Group:
    """An actor in one run: where it sits, and the dice it throws."""

    actor: Actor
    rng: np.random.Generator
    seats: Uids
    rows: Uids


def vote(chain: Settlement, groups: Sequence[Group], t: int, own: Floats) -> None:
    """Commit epoch ``t``'s weights: ``own`` (V, M) as judged, then what each attack makes of it (the honest are
    ``groups[0]``)."""
    validators, miners = own.shape
    judged = np.zeros((validators, chain.n))
    judged[:, validators:] = own
    chain.commit(judged)
    # whoever reads the others' weights must find theirs as they were before his own
    votes = [(g.rows, _weights(chain, g, t, judged, miners, chain.published)) for g in groups if g.rows.size]
    for rows, weights in votes[1:]:
        chain.amend(rows, weights)


def _weights(
    chain: Settlement, group: Group, t: int, judged: Floats, miners: int, published: Callable[[int], Floats | None]
) -> Floats:
    validators = judged.shape[0]
    seen = Seen(
        epoch=t,
        rng=group.rng,
        rows=group.rows,
        members=validators + group.seats,
        miners=validators + np.arange(miners),
        judged=judged[group.rows],
        stake=chain.stake,
        consensus=chain.consensus,
        published=published,
    )
    return np.asarray(asked_of(group.actor, "weigh", t, seen.judged.shape, seen), dtype=np.float64)


def asked_of(actor: Actor, method: str, t: int, wanted: tuple[int, ...], *views: object) -> npt.NDArray[Any]:
    """What an actor's method returns, if it is numbers of that shape; DeclarationError otherwise."""
    name = f"{type(actor).__name__}.{method}"
    try:
        array = np.asarray(getattr(actor, method)(*views))
    except Exception as error:  # an actor may be the designer's
        raise rules.failure(name, t, error) from error
    if array.shape != wanted or array.dtype.kind not in "fiub":
        raise DeclarationError(
            f"{name} returned {array.dtype} {array.shape}, expected numbers {wanted}",
            remedy="subnet.lab.Actor says what each method returns.",
        )
    return array


def stakes(s: Stakes) -> Floats:
    """Shares of all stake (V,): the honest by Zipf's law, each attack's evenly among its validators."""
    honest = 1.0 / np.arange(1, s.honest_validators + 1) ** s.skew
    parts = [honest / honest.sum() * (1 - s.attacking_stake)]
    parts += [np.full(a.validators, a.stake / a.validators) for a in s.attacks if a.validators]
    return np.concatenate(parts)
