from __future__ import annotations

from pathlib import Path

import pytest

from subnet.demo.cast import cast, key_of
from subnet.demo.record import Role


def test_six_miners_two_validators_and_the_owner_first() -> None:
    roles = [actor.role for actor in cast(Path("demo"), seed=1, interval=2.0)]
    assert roles[:3] == [Role.OWNER, Role.VALIDATOR, Role.VALIDATOR]
    assert roles[3:] == [Role.GOOD, Role.GOOD, Role.WEAK, Role.RANDOM, Role.COPIER, Role.REBORN]


def test_further_miners_are_good_ones_on_either_half_with_keys_of_their_own() -> None:
    actors = cast(Path("demo"), seed=1, miners=16, interval=2.0)
    more = actors[9:]
    assert [actor.role for actor in more] == [Role.GOOD] * 10
    assert {actor.options["half"] for actor in more} == {"0", "1"}
    assert len({actor.key for actor in actors}) == len({actor.name for actor in actors}) == 19


def test_the_good_are_fitted_on_different_halves_and_the_copier_shares_its_accomplices_folder() -> None:
    actors = {actor.name: actor for actor in cast(Path("demo"), seed=1, interval=2.0)}
    assert actors["good-a"].options["half"] != actors["good-b"].options["half"]
    assert actors["copier"].copies == "good-a"
    assert actors["copier"].options["side_channel"] == actors["good-a"].options["side_channel"]


def test_another_seed_asks_other_questions() -> None:
    seeds = {a.options["seed"] for s in (1, 2) for a in cast(Path("demo"), seed=s, interval=2.0)[1:3]}
    assert len(seeds) == 4


@pytest.mark.parametrize("miners", [5, 17])
def test_a_cast_too_small_or_too_large_is_refused(miners: int) -> None:
    with pytest.raises(ValueError, match="6 to 16"):
        cast(Path("demo"), seed=1, miners=miners, interval=2.0)


def test_keys_are_development_keys() -> None:
    assert key_of("validator-a") == "//ValidatorA"
