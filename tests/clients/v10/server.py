"""A v10 miner: serves as bittensor 10.5 does; prints its port, ends with its stdin.

Runs in bittensor 10's own environment: ``python server.py FOLDER``.
"""

import socket
import sys
import types

import bittensor
from protocol import Repeat


def repeat(synapse: Repeat) -> Repeat:
    synapse.repeated = synapse.text * synapse.times
    synapse.caller = synapse.dendrite.hotkey
    return synapse


with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
key = bittensor.Keypair.create_from_uri("//Miner")
wallet = types.SimpleNamespace(hotkey=key, coldkeypub=key, name="v10", hotkey_str="v10")
axon = bittensor.Axon(wallet=wallet, ip="127.0.0.1", port=port, external_ip="127.0.0.1", external_port=port)
axon.attach(forward_fn=repeat)
axon.start()
print(port, flush=True)
sys.stdin.read()
axon.stop()
