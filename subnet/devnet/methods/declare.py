"""The table of JSON-RPC methods, and how one is called.

Each method is a function ``(session, *params)`` under its names.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from subnet.devnet.rpc import METHOD_NOT_FOUND, RpcError, bad_params
from subnet.devnet.session import Session
from subnet.errors import DevnetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A method, and how many parameters it takes."""

    function: Callable[..., Any]
    least: int
    most: int


METHODS: dict[str, Method] = {}
DEVNET = -32000  # what a dev_ method refuses; the data say what to do


def method(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare a method under these names."""

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        parameters = list(inspect.signature(function).parameters.values())[1:]
        least = sum(one.default is inspect.Parameter.empty for one in parameters)
        for name in names:
            METHODS[name] = Method(function, least, len(parameters))
        return function

    return declare


async def call(session: Session, name: str, params: list[Any]) -> Any:
    """Run a method; RpcError for an unknown one and for parameters that don't fit."""
    found = METHODS.get(name)
    if found is None:
        logger.info("refused %r: there is no such method here", name[:100])
        raise RpcError(METHOD_NOT_FOUND, f"Method not found: {name[:100]}")
    if not found.least <= len(params) <= found.most:
        raise bad_params(f"{name} takes {found.least} to {found.most} parameters, not {len(params)}")
    try:
        result = found.function(session, *params)
        return await result if inspect.isawaitable(result) else result
    except DevnetError as error:
        raise RpcError(DEVNET, str(error), error.remedy) from None
