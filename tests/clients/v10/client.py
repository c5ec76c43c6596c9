"""A v10 validator: asks a miner as bittensor 10.5 does; prints what it was answered.

Runs in bittensor 10's own environment: ``python client.py IP PORT MINER_SS58``.
"""

import asyncio
import json
import sys

import bittensor
from bittensor.core.chain_data import AxonInfo
from protocol import Repeat

bittensor.utils.networking.get_external_ip = lambda: "127.0.0.9"  # else it asks strangers for its own address


async def main(ip, port, miner):
    key = bittensor.Keypair.create_from_uri("//Caller")
    axon = AxonInfo(version=10_005_000, ip=ip, port=int(port), ip_type=4, hotkey=miner, coldkey=miner)
    other = AxonInfo(version=10_005_000, ip=ip, port=int(port), ip_type=4, hotkey=key.ss58_address, coldkey=miner)
    async with bittensor.Dendrite(key) as dendrite:
        one = await dendrite(axon, Repeat(text="ab", times=3), timeout=30)
        many = await dendrite([axon] * 64, Repeat(text="ab", times=1), timeout=30)
        wrong = await dendrite(other, Repeat(text="ab", times=3), timeout=30)
    print(
        json.dumps(
            {
                "repeated": one.repeated,
                "caller": one.caller,
                "status": one.dendrite.status_code,
                "many": [each.dendrite.status_code for each in many],
                "wrong": wrong.dendrite.status_code,
                "wrong_message": wrong.dendrite.status_message,
            }
        )
    )


asyncio.run(main(*sys.argv[1:]))
