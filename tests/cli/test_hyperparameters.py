import pytest

from subnet.cli.hyperparameters import SETTERS, SWITCHES, parse
from subnet.errors import ConfigError


def test_values_are_numbers_or_switches() -> None:
    given = ["tempo=10", "commit_reveal_enabled=off", "yuma3=True", "kappa=0"]
    assert parse(given) == {"tempo": 10, "commit_reveal_enabled": False, "yuma3": True, "kappa": 0}


@pytest.mark.parametrize("pair", ["tempo=x", "tempo", "tempo=-1", "tempo=1.5", "tempo=²", f"tempo={2**64}", "tempo="])
def test_what_is_no_number_is_refused(pair: str) -> None:
    with pytest.raises(ConfigError, match="no whole number"):
        parse([pair])


def test_what_is_no_switch_is_refused() -> None:
    with pytest.raises(ConfigError, match="is a switch"):
        parse(["yuma3=2"])


def test_what_is_not_known_is_refused_with_what_is() -> None:
    with pytest.raises(ConfigError, match="can't set 'temp'") as caught:
        parse(["temp=1"])
    assert "tempo" in caught.value.remedy


def test_every_setter_shows_among_the_hyperparameters() -> None:
    from subnet.chain import Hyperparameters

    assert set(SETTERS) <= set(Hyperparameters.__dataclass_fields__)
    kinds = {name: str(Hyperparameters.__dataclass_fields__[name].type) for name in SETTERS}
    assert {name for name, kind in kinds.items() if kind == "bool"} == SWITCHES
