"""Who is served: permit, stake, owner, and what holds before the first epoch."""

from __future__ import annotations

import pytest

from subnet.auth import Caller
from subnet.errors import NotPermitted
from subnet.miners import Miner
from subnet.synapse import Message, Synapse
from subnet.types import Hotkey, Neuron, rao
from tests.memory_chain import metagraph_of, neuron


class Pong(Message):
    text: str


class Ping(Synapse[Pong]):
    text: str


class Echo(Miner):
    def ping(self, request: Ping, caller: Caller) -> Pong:
        return Pong(text=request.text)


def miner(*neurons: Neuron, owner: str = "", **options: str) -> Echo:
    echo = Echo(options)
    echo.attach(Hotkey("5Me"), metagraph_of(neurons, owner=owner))
    return echo


def test_a_permit_admits() -> None:
    echo = miner(neuron("5V", validator_permit=True), neuron("5M", stake=rao(5)))
    admitted = echo.admit(Hotkey("5V"), Ping)
    assert admitted is not None
    assert admitted.hotkey == "5V"
    with pytest.raises(NotPermitted, match="no validator permit"):
        echo.admit(Hotkey("5M"), Ping)


def test_strangers_are_refused() -> None:
    with pytest.raises(NotPermitted, match="not registered on netuid 2"):
        miner(neuron("5V", validator_permit=True)).admit(Hotkey("5Stranger"), Ping)


def test_enough_stake_admits_without_a_permit() -> None:
    neurons = neuron("5V", validator_permit=True), neuron("5S", stake=rao(1000)), neuron("5T", stake=rao(999))
    echo = miner(*neurons)
    assert echo.admit(Hotkey("5S"), Ping) is not None
    with pytest.raises(NotPermitted):
        echo.admit(Hotkey("5T"), Ping)
    echo = miner(*neurons, min_stake=str(rao(999)))
    assert echo.admit(Hotkey("5T"), Ping) is not None


def test_the_owner_is_served() -> None:
    echo = miner(neuron("5V", validator_permit=True), neuron("5O"), owner="5O")
    assert echo.admit(Hotkey("5O"), Ping) is not None


def test_before_anyone_holds_a_permit_any_stake_admits() -> None:
    fresh = neuron("5S", stake=rao("0.000000001")), neuron("5N")
    echo = miner(*fresh)
    assert echo.admit(Hotkey("5S"), Ping) is not None
    with pytest.raises(NotPermitted):
        echo.admit(Hotkey("5N"), Ping)
    echo.attach(Hotkey("5Me"), metagraph_of([*fresh, neuron("5V", validator_permit=True)]))
    with pytest.raises(NotPermitted):
        echo.admit(Hotkey("5S"), Ping)
