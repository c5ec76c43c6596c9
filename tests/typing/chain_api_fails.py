"""What a type checker must find wrong with writes; each line's comment is the error that mypy has to give there."""

from substrateinterface import Keypair

from subnet.chain import Chain, calls
from subnet.types import rao


async def write(chain: Chain, key: Keypair, to: str) -> None:
    await chain.transfer(key, to, rao(1), wait="later")  # error: arg-type
    await chain.transfer(key, to, 1.5)  # error: arg-type
    await chain.transfer(key, to, rao(1), dry_run=True)  # error: call-arg
    await chain.start_call(key, 1, period="64")  # error: arg-type
    await chain.estimate(calls.start_call(1), key, wait="finality")  # error: call-arg
    await chain.batch(key, [calls.start_call(1)], "most")  # error: arg-type
