"""``python tests/chain/shapes/node.py SHAPE``: a node in the shape of another runtime version, on loopback.

Prints its URL as one line of JSON, and ends when its standard input does: a test that dies leaves none behind.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from shape import NAMES, OLDER, START_DELAY, Shape, wear


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1] not in NAMES:
        sys.exit(f"usage: node.py {'|'.join(NAMES)}")
    name = sys.argv[1]
    wear(Shape.load(name))
    from subnet.devnet.service import Options, serve

    options = Options(
        port=0,
        production="instant",
        tempo=10,
        start_call_delay=0 if name == "218" else START_DELAY,
        tempo_rule="legacy" if name in OLDER else "head",
    )

    async def run() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(sys.stdin, stop.set)
        await serve(options, lambda node: print(json.dumps({"url": node.url}), flush=True), stop)

    asyncio.run(run())


if __name__ == "__main__":
    main()
