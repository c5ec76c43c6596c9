"""The text subnet as a whole: real models, miners behind real axons, a validator that streams from them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec

import pytest

from subnet.auth import Caller
from subnet.axon import Axon
from subnet.dendrite import Dendrite
from subnet.errors import TooMuch
from subnet.examples.text.judge import z_score
from subnet.examples.text.miner import CannedMiner, SmallerModelMiner, TextMiner
from subnet.examples.text.models import CONTEXT, held_out, text, training_text
from subnet.examples.text.protocol import Continue
from subnet.examples.text.validator import TextValidator
from subnet.keys import load_key
from subnet.miners import Miner
from subnet.types import AxonInfo, Hotkey, Neuron, Uid


def test_prompts_come_from_text_that_the_models_have_not_seen() -> None:
    assert training_text() + held_out() == text()
    assert len(held_out()) > 5000
    assert text().isascii()


needs_models = pytest.mark.skipif(find_spec("transformers") is None, reason="the extra torch is not installed")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Models are trained once, in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUBNET_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.slow
@needs_models
async def test_the_honest_miner_is_paid_and_the_two_that_save_on_the_model_are_not() -> None:
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


@pytest.mark.slow
@needs_models
@pytest.mark.parametrize("tokens", [255, 1024])
async def test_an_honest_miner_stays_honest_beside_callers_who_ask_for_all_that_the_protocol_allows(
    tokens: int,
) -> None:
    """They share its batches; whoever cut their prompts for such a request made their text another's: z was 5 to 8."""
    validator, miner = TextValidator({"seed": "3"}), TextMiner({"max_batch": "31"})
    validator.load()
    miner.load()
    caller = Caller(Hotkey(""), 0, "")

    async def said(prompt: str, tokens: int) -> str:
        return "".join([piece.text async for piece in miner.go_on(Continue(prompt=prompt, tokens=tokens), caller)])

    prompts = [validator._prompt() for _ in range(30)]
    greedy, *texts = await asyncio.gather(
        said("x", tokens), *[said(prompt, 4) for prompt in prompts], return_exceptions=True
    )
    assert isinstance(greedy, TooMuch) if tokens > CONTEXT else len(greedy) == tokens
    found = [validator._evidence(prompt, text, 4) for prompt, text in zip(prompts, texts, strict=True)]
    assert sum(one.tokens for one in found) == 30 * 4
    assert abs(z_score(found)) < 5  # one honest run in two million is further out
    await miner.close()
