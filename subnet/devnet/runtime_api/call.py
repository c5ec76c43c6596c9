"""``state_call``: a method found by its name and run on a block's state. What is not served is refused by name."""

from __future__ import annotations

import logging

from subnet.devnet.chain import Chain
from subnet.devnet.rpc import RpcError
from subnet.devnet.runtime_api.declare import PastState, View
from subnet.devnet.scale import ScaleError

logger = logging.getLogger(__name__)


def call_runtime(chain: Chain, name: str, data: bytes, block: int) -> bytes:
    """Run a runtime API method on the state of ``block``; RpcError names what is not served or does not decode."""
    method = chain.runtime.methods.get(name)
    if method is None:
        logger.info("refused %r: there is no such runtime API here", name[:100])
        # worded as the real node does: clients look for it before they fall back to an older way
        raise RpcError(4003, f"Client error: Execution failed: Other: Exported method {name[:100]} is not found")
    state = chain.state if block == chain.head.number else PastState(chain.store, block)
    view = View(state, block, chain.spec, chain.runtime.dispatch, runtime=chain.runtime)
    try:
        return method.run(view, data)
    except ScaleError as error:
        raise RpcError(4003, f"Client error: Execution failed: {name} can't decode its input: {error}") from None
