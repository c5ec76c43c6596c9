"""Was everybody paid as they deserved? The order of emissions, with the margins it must hold by.

Pure functions of a :class:`~subnet.demo.record.Record`. Each :class:`Check` says what must hold,
the numbers it was held against and whether it did; ``subnet demo`` exits 0 only if all do.
"""

from __future__ import annotations

import msgspec

from subnet.demo.record import Actor, Epoch, Record, Role

GOOD_OVER_WEAK = 1.5  # each good miner earns at least so many times what the weak one does
WEAK_OVER_RANDOM = 3.0
COPIER_BELOW = 0.5  # the copier earns at most this part of what its accomplice does
PRESENCE_BAND = 0.25  # the reborn's pay lies so near to the part of the time it was there
PAID = 0.5  # "paid": at least this part of what the good ones got in the same epoch
EPOCHS = 6
ALPHA = 10**9


class Check(msgspec.Struct, frozen=True):
    """One thing that must hold; ``detail`` shows its numbers."""

    name: str
    passed: bool
    detail: str


def run(record: Record) -> list[Check]:
    """All checks, in the order in which they are shown."""
    (weak,), (guessing,) = record.of_role(Role.WEAK), record.of_role(Role.RANDOM)
    return [
        epochs_passed(record),
        *[above(record, good, weak, GOOD_OVER_WEAK) for good in record.of_role(Role.GOOD)],
        above(record, weak, guessing, WEAK_OVER_RANDOM),
        *[_copier_below_copied(record, copier) for copier in record.of_role(Role.COPIER)],
        *[check for reborn in record.of_role(Role.REBORN) for check in _reborn(record, reborn)],
        books_agree(record),
    ]


def epochs_passed(record: Record) -> Check:
    """Enough of them, whoever they paid."""
    count = len(record.epochs)
    return Check("epochs", count >= EPOCHS, f"{count} passed, {len(record.paid_epochs)} of them paid miners")


def above(record: Record, more: Actor, less: Actor, factor: float) -> Check:
    """The one earned at least ``factor`` times what the other did, and anything at all."""
    mine, theirs = record.emission(more.name), record.emission(less.name)
    return Check(
        f"{more.name} above {less.name}",
        mine > 0 and mine >= factor * theirs,
        f"{in_alpha(mine)} against {in_alpha(theirs)}: {times(mine, theirs)} (at least x{factor:g})",
    )


def _copier_below_copied(record: Record, copier: Actor) -> Check:
    mine, theirs = record.emission(copier.name), record.emission(copier.copies)
    return Check(
        f"{copier.name} below {copier.copies}",
        theirs > 0 and mine <= COPIER_BELOW * theirs,
        f"{in_alpha(mine)} against {in_alpha(theirs)}: {percent(mine, theirs)} (at most {COPIER_BELOW:.0%})",
    )


def _reborn(record: Record, reborn: Actor) -> list[Check]:
    """Paid like the good ones before its death, less because of it, again after its return; and in all
    for the part of the time that it was there, give or take the time a moving score needs to follow."""
    killed, back = record.event("killed", reborn.name), record.event("serving", reborn.name)
    if killed is None or back is None:
        return [Check(f"{reborn.name} came back", False, "never seen killed and serving again")]
    paid = record.paid_epochs
    before = [_ratio(record, reborn, e) for e in paid if e.block <= killed.block]
    since = [_ratio(record, reborn, e) for e in paid if e.block > killed.block]
    if not before or len(since) < 2:
        detail = f"{len(before)} paid epochs before its death and {len(since)} since are too few to tell"
        return [Check(f"{reborn.name} came back", False, detail)]
    low, last = min(since), since[-1]
    present, earned = _presence(paid, killed.block, back.block), _earned(record, reborn)
    wanted = f"(at least {PAID:.0%})"
    return [
        Check(
            f"{reborn.name} paid before its death",
            min(before) >= PAID,
            f"at least {min(before):.0%} of the good ones' pay in each of {len(before)} epochs {wanted}",
        ),
        Check(
            f"{reborn.name} paid less while gone",
            low < min(before),
            f"down to {low:.0%} of the good ones' pay (below {min(before):.0%})",
        ),
        Check(
            f"{reborn.name} paid after its return",
            last >= PAID,
            f"{last:.0%} of the good ones' pay in the last epoch {wanted}",
        ),
        Check(
            f"{reborn.name} paid for the time it was there",
            abs(earned - present) <= PRESENCE_BAND,
            f"there {present:.0%} of the time, earned {earned:.0%} of the good ones' pay "
            f"(within {PRESENCE_BAND * 100:.0f} points)",
        ),
    ]


def books_agree(record: Record) -> Check:
    """The emissions seen epoch by epoch must add up to what each miner's hotkey gained on the chain."""
    off = [
        f"{actor.name} by {gained - record.emission(actor.name)} rao"
        for actor in record.miners
        if (gained := record.gained(actor)) != record.emission(actor.name)
    ]
    total = sum(record.gained(actor) for actor in record.miners)
    return Check(
        "books agree",
        not off and total > 0,
        f"off: {', '.join(off)}" if off else f"epoch by epoch or as stake gained: {in_alpha(total)} in all",
    )


def _good_pay(record: Record, epoch: Epoch) -> float:
    good = record.of_role(Role.GOOD)
    return sum(epoch.emission_of(actor.uid) for actor in good) / len(good)


def _ratio(record: Record, actor: Actor, epoch: Epoch) -> float:
    pay = _good_pay(record, epoch)
    return epoch.emission_of(actor.uid) / pay if pay else 0.0


def _earned(record: Record, actor: Actor) -> float:
    pay = sum(_good_pay(record, epoch) for epoch in record.epochs)
    return record.emission(actor.name) / pay if pay else 0.0


def _presence(paid: list[Epoch], killed: int, back: int) -> float:
    """The part of the paid blocks, from the first paid epoch to the last, in which it served."""
    start, end = paid[0].block, paid[-1].block
    gone = max(0, min(back, end) - max(killed, start))
    return 1 - gone / max(end - start, 1)


def in_alpha(amount: int) -> str:
    """RAO of alpha as text."""
    return f"{amount / ALPHA:.3f} α"


def times(more: int, less: int) -> str:
    """How many times the one is the other."""
    return f"x{more / less:.1f}" if less else "the other got nothing"


def percent(part: int, whole: int) -> str:
    """The one as a percentage of the other."""
    return f"{part / whole:.0%}" if whole else "nothing earned"
