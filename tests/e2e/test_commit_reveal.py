"""A validator's weights on the real local chain, where the subnet wants them committed first."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from subnet import Chain, Neuron, Uid, Validator
from subnet.chain import Included
from subnet.devnet import Devnet
from subnet.keys import load_key
from subnet.store import History
from subnet.types import Netuid, rao
from subnet.validators import ValidatorService

pytestmark = pytest.mark.e2e

OWNER, VALIDATOR = load_key("//Owner"), load_key("//CommitsWeights")
MINERS = [load_key(f"//CommitMiner{i}") for i in range(2)]


class Knows(Validator):
    """Scores without asking: the second miner is worth twice the first."""

    interval = 3600.0
    refresh_blocks = 1

    def sample(self, metagraph: object) -> Sequence[Neuron]:
        return [neuron for neuron in self.metagraph.neurons if neuron.hotkey != self.hotkey]

    async def round(self, peers: Sequence[Neuron]) -> Mapping[Uid, float]:
        worth = {MINERS[0].ss58_address: 0.5, MINERS[1].ss58_address: 1.0}
        return {neuron.uid: worth.get(neuron.hotkey, 0.0) for neuron in peers}


async def committing_subnet(devnet: Devnet, chain: Chain, *, committed: bool = True, mechanisms: int = 1) -> Netuid:
    """A subnet of tempo 10 that takes commits only (or none), with a validator and two miners."""
    alice = load_key("//Alice")
    netuid = (await chain.register_network(alice, OWNER.ss58_address)).netuid
    devnet.new_blocks(20)
    await chain.start_call(alice, netuid)
    for miner in (VALIDATOR, *MINERS):
        await chain.burned_register(alice, netuid, miner.ss58_address)
    await chain.add_stake(alice, VALIDATOR.ss58_address, netuid, rao(2000))
    several: list[tuple[str, dict[str, int]]] = [
        ("sudo_set_max_allowed_uids", {"max_allowed_uids": 128}),
        ("sudo_set_mechanism_count", {"mechanism_count": mechanisms}),
    ]
    for call, arguments in (
        *(several if mechanisms > 1 else []),
        ("sudo_set_commit_reveal_weights_enabled", {"enabled": committed}),
        ("sudo_set_weights_set_rate_limit", {"weights_set_rate_limit": 0}),
        ("sudo_set_commit_reveal_weights_interval", {"interval": 1}),
    ):
        await chain.sudo(alice, "AdminUtils", call, {"netuid": netuid, **arguments})
    devnet.new_blocks(20)  # a permit is given in an epoch and counts from the next on
    return netuid


async def advance(devnet: Devnet, chain: Chain, path: Path, wanted: int) -> list[list[tuple[int, int]]]:
    """Blocks, one after the other, until the ledger has seen ``wanted`` sets of weights."""
    for _ in range(400):
        devnet.new_blocks(1)
        await asyncio.sleep(0.03)
        if path.exists():  # noqa: ASYNC240
            with History(path) as history:
                found = history.weights()
            if len(found) >= wanted:
                return [list(zip(one.uids, one.weights, strict=True)) for one in found]
    raise AssertionError("the weights never came")


@pytest.mark.subnet_chain(tempo=10)
async def test_weights_are_committed_and_revealed_over_a_restart(subnet_chain: Devnet, tmp_path: Path) -> None:
    path = tmp_path / "validator.sqlite"
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain)

        async def life(wanted: int) -> list[list[tuple[int, int]]]:
            knows = Knows({"commit": "hash"})
            service = ValidatorService(knows, chain, VALIDATOR, netuid, path=path)
            await service.start()
            try:
                return await advance(subnet_chain, chain, path, wanted)
            finally:
                await service.stop()

        first = await life(1)
        again = await life(2)
        metagraph = await chain.metagraph(netuid)
        uids = [metagraph.uid_of(miner.ss58_address) for miner in MINERS]
        expected = [(uids[0], 32768), (uids[1], 65535)]
        assert first == [expected]
        assert again == [expected, expected]
        row = (await chain.weights(netuid))[metagraph.uid_of(VALIDATOR.ss58_address)]
        assert [pair for pair in row if pair[1]] == expected
    with History(path) as history:
        assert {one.outcome for one in history.commits(ended=True)} <= {"revealed", "superseded"}


@pytest.mark.subnet_chain(tempo=10)
async def test_killed_between_the_send_and_its_answer(subnet_chain: Devnet, tmp_path: Path) -> None:
    """The commit lands, the process knows nothing of it; the next life finds it on the chain and reveals it."""
    path = tmp_path / "validator.sqlite"
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain)
        send, sent = chain.commit_weights, asyncio.Event()

        async def dies(*arguments: object, **named: object) -> Included:
            await send(*arguments, **named)  # type: ignore[arg-type]
            sent.set()
            await asyncio.Event().wait()  # until the service is stopped, as a killed process is
            raise AssertionError

        chain.commit_weights = dies  # type: ignore[method-assign]
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        while not sent.is_set():
            subnet_chain.new_blocks(1)
            await asyncio.sleep(0.03)
        await service.stop()
        chain.commit_weights = send  # type: ignore[method-assign]
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        try:
            (found,) = await advance(subnet_chain, chain, path, 1)
        finally:
            await service.stop()
        assert [weight for _, weight in found] == [32768, 65535]


@pytest.mark.subnet_chain(tempo=10)
async def test_killed_between_a_reveal_and_its_answer(subnet_chain: Devnet, tmp_path: Path) -> None:
    """The row is the same before and after; the next life knows by the chain's event, and by nothing else."""
    path = tmp_path / "validator.sqlite"
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain)
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        await advance(subnet_chain, chain, path, 1)
        reveal, landed = chain.reveal_weights, []

        async def dies(*arguments: object, **named: object) -> Included:
            landed.append((await reveal(*arguments, **named)).block)  # type: ignore[arg-type]
            await asyncio.Event().wait()
            raise AssertionError

        chain.reveal_weights = dies  # type: ignore[method-assign]
        while not landed:
            subnet_chain.new_blocks(1)
            await asyncio.sleep(0.03)
        await service.stop()
        with History(path) as history:
            (waiting, *_) = history.commits()
        subnet_chain.new_blocks(3)
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        try:
            await advance(subnet_chain, chain, path, 2)
        finally:
            await service.stop()
    with History(path) as history:
        assert [history.weights()[1].block] == landed
        assert {one.hash: one.outcome for one in history.commits(ended=True)}[waiting.hash] == "revealed"


@pytest.mark.subnet_chain(tempo=10)
async def test_a_fork_takes_away_a_reveal_while_the_validator_restarts(subnet_chain: Devnet, tmp_path: Path) -> None:
    """The ledger says revealed, the chain does not any more: the next life sends it again."""
    path = tmp_path / "validator.sqlite"
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain)
        reveal, before = chain.reveal_weights, []

        async def marked(*arguments: object, **named: object) -> Included:
            before.append(subnet_chain.snapshot())
            return await reveal(*arguments, **named)  # type: ignore[arg-type]

        chain.reveal_weights = marked  # type: ignore[method-assign]
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        await advance(subnet_chain, chain, path, 1)
        await service.stop()
    subnet_chain.revert(before[0])
    async with await Chain.connect(subnet_chain.url) as chain:
        uid = (await chain.metagraph(netuid)).uid_of(VALIDATOR.ss58_address)
        assert uid not in await chain.weights(netuid)
        (listed,) = await chain.weight_commits(netuid, VALIDATOR.ss58_address)
        with History(path) as history:
            assert [one.outcome for one in history.commits(ended=True) if one.hash == listed.hash] == ["revealed"]
        service = ValidatorService(Knows({"commit": "hash"}), chain, VALIDATOR, netuid, path=path)
        await service.start()
        try:
            for _ in range(3):
                subnet_chain.new_blocks(1)
                await asyncio.sleep(0.1)
            assert uid in await chain.weights(netuid)
        finally:
            await service.stop()
