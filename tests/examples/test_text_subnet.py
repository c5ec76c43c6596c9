"""The text subnet as a whole: real models, miners behind real axons, a validator that streams from them."""

from __future__ import annotations

from contextlib import AsyncExitStack
from importlib.util import find_spec

import pytest

from subnet.axon import Axon
from subnet.dendrite import Dendrite
from subnet.examples.text.miner import CannedMiner, SmallerModelMiner, TextMiner
from subnet.examples.text.models import held_out, text, training_text
from subnet.examples.text.validator import TextValidator
from subnet.keys import load_key
from subnet.miners import Miner
from subnet.types import AxonInfo, Hotkey, Neuron, Uid


def test_prompts_come_from_text_that_the_models_have_not_seen() -> None:
    assert training_text() + held_out() == text()
    assert len(held_out()) > 5000
    assert text().isascii()


@pytest.mark.slow
@pytest.mark.skipif(find_spec("transformers") is None, reason="the extra torch is not installed")
async def test_the_honest_miner_is_paid_and_the_two_that_save_on_the_model_are_not(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBNET_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    validator = TextValidator({"seed": "3"})
    validator.load()
    miners: list[Miner] = [TextMiner(), SmallerModelMiner(), CannedMiner()]
    async with AsyncExitStack() as stack:
        peers = []
        for uid, miner in enumerate(miners):
            miner.load()
            stack.push_async_callback(miner.close)
            key = load_key(f"//Miner{uid}")
            axon = Axon(key)
            for handler in miner.handlers.values():
                axon.serve(handler)
            await stack.enter_async_context(axon)
            peers.append(Neuron(Uid(uid), Hotkey(key.ss58_address), axon=AxonInfo("127.0.0.1", axon.port)))
        dendrite = await stack.enter_async_context(Dendrite(load_key("//Validator")))
        validator.use(dendrite)
        scores = await validator.round(peers)
    assert scores[Uid(0)] > 20 * max(scores[Uid(1)], scores[Uid(2)], 1e-9)
