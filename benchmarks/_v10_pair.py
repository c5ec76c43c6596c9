"""bittensor 10.5's own axon and dendrite, for wire.py: prints their rate as JSON. Runs in their environment.

python benchmarks/_v10_pair.py REQUESTS IN_FLIGHT
"""

import asyncio
import json
import multiprocessing
import socket
import sys
import time
import types

import bittensor
from bittensor.core.chain_data import AxonInfo

bittensor.utils.networking.get_external_ip = lambda: "127.0.0.9"  # else it asks strangers for its own address
IMAGES = [[[(row * 8 + column) % 256 for column in range(8)] for row in range(8)] for _ in range(64)]


class Classify(bittensor.Synapse):
    images: list = []  # noqa: RUF012 - pydantic copies it
    digits: list | None = None


def classify(synapse: Classify) -> Classify:
    synapse.digits = [image[0][0] for image in synapse.images]
    return synapse


def serve(port, ready):
    key = bittensor.Keypair.create_from_uri("//Miner")
    wallet = types.SimpleNamespace(hotkey=key, coldkeypub=key, name="v10", hotkey_str="v10")
    axon = bittensor.Axon(wallet=wallet, ip="127.0.0.1", port=port, external_ip="127.0.0.1", external_port=port)
    axon.attach(forward_fn=classify)
    axon.start()
    ready.set()
    time.sleep(3600)


async def ask(port, requests, in_flight):
    miner = bittensor.Keypair.create_from_uri("//Miner").ss58_address
    axon = AxonInfo(version=10_005_000, ip="127.0.0.1", port=port, ip_type=4, hotkey=miner, coldkey=miner)
    good = 0
    async with bittensor.Dendrite(bittensor.Keypair.create_from_uri("//Validator")) as dendrite:

        async def worker(count):
            nonlocal good
            for _ in range(count):
                reply = await dendrite(axon, Classify(images=IMAGES), timeout=60)
                good += reply.dendrite.status_code == 200

        await worker(20)
        good = 0
        started = time.perf_counter()
        await asyncio.gather(*(worker(requests // in_flight) for _ in range(in_flight)))
        seconds = time.perf_counter() - started
    asked = requests // in_flight * in_flight
    return {"rate": good / seconds, "asked": asked, "good": good}


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen = free.getsockname()[1]
    started = multiprocessing.Event()
    server = multiprocessing.Process(target=serve, args=(chosen, started), daemon=True)
    server.start()
    started.wait(60)
    while True:
        try:
            socket.create_connection(("127.0.0.1", chosen), timeout=10).close()
            break
        except OSError:
            time.sleep(0.05)
    try:
        print(json.dumps(asyncio.run(ask(chosen, int(sys.argv[1]), int(sys.argv[2])))))
    finally:
        server.terminate()
