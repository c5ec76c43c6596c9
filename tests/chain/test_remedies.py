"""Names and remedies: each error of the runtime's catalogue has one, whichever shape it comes in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from subnet.chain.remedies import DEFAULT, REMEDIES, pool_error, remedy

CATALOGUE = json.loads((Path(__file__).parents[1] / "data/subtensor_errors.json").read_text())


@pytest.mark.parametrize("name", sorted(CATALOGUE["errors"]))
def test_every_catalogued_error_has_a_remedy(name: str) -> None:
    assert remedy(name) != DEFAULT


def test_remedies_are_sentences() -> None:
    assert all(text.endswith(".") and len(text) < 120 for text in REMEDIES.values())


@pytest.mark.parametrize(
    ("code", "text", "call", "name"),
    [
        (1010, "Invalid Transaction (Custom error: 10)", "SubtensorModule.serve_axon", "HotKeyNotRegisteredInNetwork"),
        (1010, "Invalid Transaction (Custom error: 11)", "SubtensorModule.serve_axon", "InvalidIpAddress"),
        (1010, "Invalid Transaction (Custom error: 12)", "SubtensorModule.serve_axon", "ServingRateLimitExceeded"),
        (1010, "Invalid Transaction (Custom error: 13)", "SubtensorModule.serve_axon", "InvalidPort"),
        (1010, "Invalid Transaction (Custom error: 255)", "SubtensorModule.serve_axon", "InvalidIpType"),
        (1010, "Invalid Transaction (Custom error: 1)", "SubtensorModule.set_weights", "NotEnoughStakeToSetWeights"),
        (1010, "Invalid Transaction (Custom error: 6)", "SubtensorModule.set_weights", "SettingWeightsTooFast"),
        (1010, "Invalid Transaction (Custom error: 16)", "SubtensorModule.reveal_weights", "NoWeightsCommitFound"),
        (1010, "Invalid Transaction (Custom error: 17)", "SubtensorModule.reveal_weights", "RevealTooEarly"),
        (1010, "Invalid Transaction (Custom error: 19)", "SubtensorModule.set_weights", "HotKeyNotRegisteredInSubNet"),
        (1010, "Invalid Transaction (Custom error: 3)", "SubtensorModule.set_weights", "NotEnoughStakeToSetWeights"),
        (1010, "Invalid Transaction (Custom error: 3)", "SubtensorModule.add_stake", "SubnetNotExists"),
        (1010, "Invalid Transaction (Custom error: 5)", "SubtensorModule.remove_stake", "NotEnoughStakeToWithdraw"),
        (1010, "Custom error: 5", "SubtensorModule.burned_register", "TooManyRegistrationsThisInterval"),
        (1010, "Custom error: 6", "SubtensorModule.register_network", "NetworkTxRateLimitExceeded"),
        (1010, '{"invalid":{"custom":10}}', "SubtensorModule.serve_axon", "HotKeyNotRegisteredInNetwork"),
        (1010, '{"invalid":{"badProof":null}}', "Balances.transfer", "BadProof"),
        (1010, '{"invalid":{"payment":null}}', "Balances.transfer", "Payment"),
        (1010, "Invalid Transaction (Custom error: 77)", "SubtensorModule.set_weights", "Custom77"),
        (1010, "Inability to pay some fees (e.g. account balance too low)", "Balances.transfer", "Payment"),
        (1010, "Transaction is outdated", "Balances.transfer", "Stale"),
        (1010, "Transaction has a bad signature", "Balances.transfer", "BadProof"),
        (1013, "Already Imported", "Balances.transfer", "AlreadyImported"),
        (1014, "Priority is too low: (1 vs 1)", "Balances.transfer", "PriorityTooLow"),
        (1010, "something new", "Balances.transfer", "Rejected"),
    ],
)
def test_the_pool_s_words_get_the_runtime_s_names(code: int, text: str, call: str, name: str) -> None:
    assert pool_error(code, text, call) == name
