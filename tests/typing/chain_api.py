"""The chain client as a user writes it; mypy and pyright must find nothing wrong."""
# pyright: basic
# (substrate-interface has no types, so that strict would complain of each Keypair)

from typing import assert_type

from substrateinterface import Keypair

from subnet.chain import Call, Chain, Estimate, Included, Prepared, WeightCommit, calls
from subnet.types import Block, rao


async def write(chain: Chain, key: Keypair, to: str) -> None:
    included = await chain.transfer(key, to, rao(1), wait="finality", period=None, tip=rao("0.1"), timeout=30.0)
    assert_type(included, Included)
    assert_type(included.block, Block)
    call = calls.add_stake(to, 1, rao(5), limit_price=rao(1))
    assert_type(call, Call)
    assert_type(await chain.estimate(call, key), Estimate)
    prepared = await chain.prepare(call, key, nonce=7, period=128)
    assert_type(prepared, Prepared)
    assert_type(await chain.deliver(prepared, wait="inclusion"), Included)
    await chain.batch(key, [call, calls.start_call(1)], "each", timeout=60.0)
    await chain.set_weights(key, 1, [0, 1], [65535, 1], mechanism=1, wait="finality")
    commit = WeightCommit.fresh(to, 1, [0], [65535])
    await chain.reveal_weights(key, commit, period=8)
