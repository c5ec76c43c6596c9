"""The synapse as a v10 subnet declares it."""

from typing import ClassVar

import bittensor


class Repeat(bittensor.Synapse):
    required_hash_fields: ClassVar[tuple[str, ...]] = ("text", "times")

    text: str = ""
    times: int = 0
    repeated: str | None = None
    caller: str | None = None
