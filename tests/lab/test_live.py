"""The user's own Validator and Miner in the lab: unchanged, repeatable, and attacked."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from subnet.errors import ConfigError, DeclarationError
from subnet.examples.digits.miner import DigitsMiner, RandomMiner
from subnet.examples.digits.validator import DigitsValidator
from subnet.lab import Actor, SelfWeighting, simulate
from subnet.lab.live import LIVE_ATTACKS, LiveScenario, Recipe, parse_attack
from subnet.lab.live_actors import (
    Copier,
    Intermittent,
    Lazy,
    LiveActor,
    ModelSwapper,
    OwnMiner,
    PoisonedReplies,
    Sandbagger,
    Slow,
    Sybil,
)
from subnet.lab.live_run import run
from subnet.lab.trials import Outcome, Trial, measure
from tests.lab.bench_live import Broken, Credulous, Doubler, Fair, Guesser, Patient, Sleepy

FAIR = LiveScenario(Recipe(Fair), [Recipe(Doubler)], validators=2, miners=5, epochs=6)


def outcome(attack: Actor, **changes: Any) -> Outcome:
    return measure(Trial(replace(FAIR, attacks=[attack], **changes), 0, 0))


def test_a_run_can_be_repeated_and_leaves_the_dice_of_others_alone() -> None:
    scenario = replace(FAIR, attacks=[Lazy(), SelfWeighting()], validators=3, rounds=2)
    random.seed(5)
    np.random.seed(5)
    expected = random.random(), np.random.random()
    random.seed(5)
    np.random.seed(5)
    first = run(scenario, 1)
    assert (random.random(), np.random.random()) == expected
    again = run(scenario, 1)
    assert (first.income == again.income).all()
    assert (first.vtrust == again.vtrust).all()
    assert (run(scenario, 2).income != first.income).any()
    assert first.income.sum(axis=1) == pytest.approx(np.ones(6))


@pytest.mark.parametrize("sampling", ["uniform", "stale", "uncertain"])
def test_sampling_is_repeatable_too(sampling: str) -> None:
    chosen = Recipe(Fair, {"sampling": sampling, "sample_size": "2"})
    scenario = replace(FAIR, validator=chosen, attacks=[Lazy(miners=1)])
    assert (run(scenario, 1).income == run(scenario, 1).income).all()


def test_lazy_copying_and_guessing_miners_are_found_out() -> None:
    for attack in (Lazy(), Lazy(how="constant"), OwnMiner(kind=Guesser)):  # one that is constant began honestly
        found = outcome(attack)
        assert found.gain < -0.8, attack
        assert found.detection <= 1
        assert found.honest_share > 0.9
        assert found.failed_rounds == 0


def test_who_copies_equal_questions_in_time_is_paid_by_a_rule_that_does_not_look() -> None:
    assert outcome(Copier(lag=0.1)).gain == pytest.approx(0, abs=0.02)
    assert outcome(Copier(lag=10.0)).gain == -1
    assert outcome(Copier(whom="random", lag=0.1)).gain == pytest.approx(0, abs=0.02)
    assert outcome(Sybil(miners=2)).gain == pytest.approx(0.4 / 0.25 - 1, abs=0.01)


def test_who_is_away_or_late_or_worse_earns_less() -> None:
    long = {"epochs": 12}
    assert -0.9 < outcome(Intermittent(up=2, down=2), **long).gain < -0.1
    assert outcome(Slow(seconds=3)).gain == -1
    assert outcome(Slow(seconds=0.5)).gain == pytest.approx(0, abs=0.02)
    swapped = outcome(ModelSwapper(after=4, part=1.0), **long)
    assert swapped.gain < -0.3
    assert 0 < swapped.detection <= 8
    assert outcome(Sandbagger(), **long).gain < -0.1


def test_a_validator_that_breaks_on_poison_is_reported() -> None:
    found = outcome(PoisonedReplies(miners=1, how="nan"), validator=Recipe(Credulous))
    assert found.failed_rounds == 1
    assert outcome(PoisonedReplies(miners=1), validator=Recipe(Credulous)).failed_rounds == pytest.approx(0.25, abs=0.1)
    assert outcome(PoisonedReplies(miners=1), validator=Recipe(Fair)).failed_rounds == 0


def test_code_that_never_works_is_told_with_its_place() -> None:
    with pytest.raises(DeclarationError, match=r"Sleepy.round failed .*took more than"):
        run(replace(FAIR, validator=Recipe(Sleepy)), 0)
    with pytest.raises(DeclarationError, match=r"the handler of Broken failed .* bench_live.py line .*no model"):
        run(replace(FAIR, miner=[Recipe(Broken)]), 0)

    class Wrong(LiveActor):
        async def reply(self, asked: Any) -> Any:
            raise ZeroDivisionError("oops")

    with pytest.raises(DeclarationError, match=r"Wrong.reply failed in epoch 0, test_live.py line"):
        run(replace(FAIR, attacks=[Wrong(miners=1)]), 0)


def test_truths_that_come_later_count() -> None:
    scenario = replace(FAIR, validator=Recipe(Patient), miner=[Recipe(Doubler)], epochs=12)
    scenario = replace(scenario, attacks=[OwnMiner(miners=1, kind=Doubler, options={"wrong": "1"})])
    played = run(scenario, 0)
    assert played.server[0].sum() == 0  # nothing is known in the first epochs
    assert played.server[-1, 0] == pytest.approx(played.server[-1].sum())
    assert played.server[-1, 0] > 0
    broken = replace(FAIR, validator=Recipe(Patient, {"divide_by": "0"}), epochs=12)
    with pytest.raises(DeclarationError, match=r"Patient.judge_deferred failed .*ZeroDivisionError"):
        run(broken, 0)


def test_an_hour_of_rounds_takes_the_computing_and_no_more() -> None:
    played = run(replace(FAIR, validators=1, miners=2, epochs=5, rounds=60), 0)
    assert played.failed_rounds == 0
    assert played.honest_share == 1


def test_digits_unchanged() -> None:
    halves = [Recipe(DigitsMiner), Recipe(DigitsMiner, {"half": "1"})]
    attacks = [Lazy(miners=1), Copier(miners=1), OwnMiner(miners=1, kind=RandomMiner)]
    scenario = LiveScenario(Recipe(DigitsValidator), halves, attacks, validators=2, miners=5, epochs=3)
    report = simulate(scenario, seeds=1, search=False, together=True)
    assert report.rule == "DigitsValidator"
    for name in ("lazy", "copier", "random-miner"):
        assert report[name].gain.mean < -0.9
        assert report[name].detection == 0
        assert report[name].honest_share.mean > 0.99
        assert report[name].vtrust.mean > 0.9


def test_attacks_by_name() -> None:
    assert parse_attack("slow=seconds=3,miners=4") == Slow(miners=4, seconds=3.0)
    own = parse_attack("subnet.examples.digits.miner:RandomMiner=miners=1,half=1")
    assert own.described() == "random-miner(miners=1, half=1)"
    assert isinstance(own, OwnMiner)
    assert own.options == {"half": "1"}
    with pytest.raises(ConfigError, match="no attack 'overfitter'"):
        parse_attack("overfitter")
    with pytest.raises(ConfigError, match="miners can't be 'many'"):
        parse_attack("subnet.examples.digits.miner:RandomMiner=miners=many")
    with pytest.raises(DeclarationError, match="is no attack"):
        parse_attack("subnet.examples.digits.miner:Batch")
    assert {"lazy", "copier", "sybil", "poisoned-replies", "weight-copier"} <= LIVE_ATTACKS.keys()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attacks": [Actor(miners=1)]}, "answers with arrays"),
        ({"attacks": [Lazy(miners=5)]}, "nobody honest is left"),
        ({"miner": []}, "at least one recipe"),
        ({"latency": -1.0}, "latency is -1"),
        ({"rounds": 0}, "rounds is 0"),
    ],
)
def test_what_cannot_be_played(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        replace(FAIR, **changes)
    with pytest.raises(DeclarationError, match="is no Validator"):
        Recipe.parse("subnet.examples.digits.miner:DigitsMiner", Fair.__mro__[1])
