"""What the text example's tiny model costs: seconds to train it, tokens a second, one by one and in a batch.

The first start of a text miner trains the model; that is to cost a minute of one core at most. Then the same prompts
are continued one after the other and all at once, in turns, the medians compared:
``python benchmarks/text.py [--json] [--rounds N]``. Needs the extra ``torch``. Exit code 1 where training costs more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from statistics import median

from subnet.examples.text.miner import local_backend
from subnet.examples.text.models import held_out, model_folder
from subnet.miners.backends import Sampling, TransformersBackend

LIMIT = 60.0  # seconds of CPU for training
PROMPTS, CHARACTERS = 8, 80


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def speeds(backend: TransformersBackend, tokens: int, rounds: int) -> dict[str, list[float]]:
    """Tokens a second of each way, round by round."""
    text, sampling = held_out(), Sampling(max_tokens=tokens, temperature=1.0, seed=7, ignore_eos=True)
    prompts = [text[i * CHARACTERS : (i + 1) * CHARACTERS] for i in range(PROMPTS)]

    async def one_by_one() -> None:
        for prompt in prompts:
            await backend.generate(prompt, sampling)

    async def batched() -> None:
        await asyncio.gather(*[backend.generate(prompt, sampling) for prompt in prompts])

    await batched()  # what is made at first use is made
    found: dict[str, list[float]] = {"one_by_one": [], "batched": []}
    for _ in range(rounds):
        found["one_by_one"].append(PROMPTS * tokens / await timed(one_by_one))
        found["batched"].append(PROMPTS * tokens / await timed(batched))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--rounds", type=int, default=5, help="times each way is measured")
    parser.add_argument("--tokens", type=int, default=64, help="of each continuation")
    arguments = parser.parse_args()
    if find_spec("torch") is None or find_spec("transformers") is None:
        print("left out: it needs the extra torch (pip install 'subnetkit[torch]')")
        return
    import torch  # noqa: F401 - its import is no part of training
    import transformers  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        os.environ["SUBNET_CACHE_DIR"] = folder
        wall, cpu = time.perf_counter(), time.process_time()
        model = model_folder("tiny", quiet=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        backend = local_backend(model, "auto", "auto", PROMPTS, 1)
    found = asyncio.run(speeds(backend, arguments.tokens, arguments.rounds))
    alone, together = median(found["one_by_one"]), median(found["batched"])
    figures = {
        "device": backend.device,
        "train_cpu_s": round(cpu, 1),
        "train_wall_s": round(wall, 1),
        "train_limit_cpu_s": LIMIT,
        "tokens_s_one_by_one": round(alone),
        "tokens_s_batched": round(together),
        "batched_ratio": round(together / alone, 2),
    }
    kept = cpu <= LIMIT
    if arguments.json:
        print(json.dumps(figures | {"kept": kept, "rounds": arguments.rounds}))
    else:
        print(f"training the tiny model    {cpu:6.1f} s of CPU, {wall:.1f} s in all")
        print(f"{PROMPTS} prompts one by one      {alone:6.0f} tokens/s on {backend.device}, torch with one thread")
        print(f"{PROMPTS} prompts in a batch      {together:6.0f} tokens/s, {together / alone:.2f} times as many")
        print(f"training: {'within' if kept else 'OVER'} its {LIMIT:.0f} s of CPU")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
