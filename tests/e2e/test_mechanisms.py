"""One validator, one set of scores, two mechanisms with weights of their own, on the real local chain."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from subnet import Chain, Uid
from subnet.cli import main
from subnet.devnet import Devnet
from subnet.store import History
from subnet.types import Hotkey, Metagraph
from subnet.validators import ValidatorService
from subnet.validators.weights import by_uid
from tests.e2e.test_commit_reveal import MINERS, VALIDATOR, Knows, committing_subnet

pytestmark = pytest.mark.e2e


class Turns(Knows):
    """Scores without asking; in the second mechanism the best is last."""

    def weigh_mechanism(
        self, mechanism: int, moving: Mapping[Hotkey, float], metagraph: Metagraph
    ) -> Mapping[Uid, float]:
        if mechanism == 0:
            return self.weigh(moving, metagraph)
        return by_uid({hotkey: 1 / value for hotkey, value in moving.items() if value > 0}, metagraph)


async def both_kept(devnet: Devnet, path: Path) -> History:
    """Blocks, one after the other, until the ledger has weights of both mechanisms."""
    for _ in range(400):
        devnet.new_blocks(1)
        await asyncio.sleep(0.03)
        if path.exists():  # noqa: ASYNC240
            with History(path) as history:
                if history.mechanisms() == [0, 1]:
                    return history
    raise AssertionError("the weights never came")


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.subnet_chain(tempo=10)
async def test_each_mechanism_gets_its_weights(
    subnet_chain: Devnet, tmp_path: Path, committed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "validator.sqlite"
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain, mechanisms=2, committed=committed)
        assert await chain.mechanism_count(netuid) == 2
        validator = Turns({"mechanisms": "2", "commit": "hash"})
        service = ValidatorService(validator, chain, VALIDATOR, netuid, path=path)
        await service.start()
        try:
            await both_kept(subnet_chain, path)
        finally:
            await service.stop()
        assert service.health.troubles == []
        metagraph = await chain.metagraph(netuid)
        me = metagraph.uid_of(VALIDATOR.ss58_address)
        uids = [metagraph.uid_of(miner.ss58_address) for miner in MINERS]
        for mechanism, weights in ((0, (32768, 65535)), (1, (65535, 32768))):
            row = (await chain.weights(netuid, mecid=mechanism))[me]
            assert [pair for pair in row if pair[1]] == list(zip(uids, weights, strict=True))
            assert (await chain.metagraph(netuid, mecid=mechanism)).neurons[me].last_update > 40
        with History(path) as history:
            for mechanism, weights in ((0, (32768, 65535)), (1, (65535, 32768))):
                kept = history.weights(mechanism=mechanism)[0]
                assert (kept.mechanism, dict(zip(kept.uids, kept.weights, strict=True))) == (
                    mechanism,
                    dict(zip(uids, weights, strict=True)),
                )
        url = subnet_chain.url
    await asyncio.to_thread(_shown, capsys, path, url, int(uids[0]))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(list(arguments))
    return capsys.readouterr().out


def _shown(capsys: pytest.CaptureFixture[str], path: Path, url: str, uid: int) -> None:
    """What the commands say of it."""
    told = said(capsys, "history", "weights", "--ledger", str(path), "--json")
    assert {row["mechanism"] for row in json.loads(told)} == {0, 1}
    arguments = ["explain-score", str(uid), "--ledger", str(path), "--endpoint", url]
    found = json.loads(said(capsys, *arguments, "--json"))
    assert (found["weights"]["weight"], found["more_weights"][0]["weight"]) == (32768, 65535)
    assert (found["chain"]["weight"], found["chain"]["mechanisms"]["1"]["weight"]) == (32768, 65535)
    text = said(capsys, *arguments)
    assert "set in mechanism 1, in block" in text
    assert "holds in mechanism 1: 65535 of 65535" in text


@pytest.mark.subnet_chain(tempo=10)
async def test_one_that_serves_one_of_two_is_told(
    subnet_chain: Devnet, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.WARNING)
    async with await Chain.connect(subnet_chain.url) as chain:
        netuid = await committing_subnet(subnet_chain, chain, mechanisms=2, committed=False)
        service = ValidatorService(Turns(), chain, VALIDATOR, netuid, path=tmp_path / "validator.sqlite")
        await service.start()
        try:
            async with asyncio.timeout(60):
                while not (told := [one for one in caplog.records if one.getMessage() == "mechanisms_differ"]):
                    await asyncio.sleep(0.01)
        finally:
            await service.stop()
        assert (told[0].chain, told[0].ours) == (2, 1)  # type: ignore[attr-defined]
    arguments = ["--netuid", str(netuid), "--hotkey", VALIDATOR.ss58_address, "--role", "validator", "--json"]
    where = ["--endpoint", subnet_chain.url, "--state", str(tmp_path)]
    found = json.loads(await asyncio.to_thread(said, capsys, "doctor", *arguments, *where))
    (finding,) = [one for one in found["findings"] if one["check"] == "mechanisms"]
    assert finding["level"] == "warn"
    assert "mechanisms=2" in finding["remedy"]
