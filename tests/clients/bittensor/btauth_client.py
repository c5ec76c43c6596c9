"""A caller that knows bittensor 11's http_auth and an HTTP client, nothing else; prints what it was answered.

Runs in bittensor's own environment: ``python btauth_client.py http://127.0.0.1:PORT RECEIVER_SS58``.
"""

import asyncio
import json
import sys
import time

import aiohttp
import msgpack
from bittensor import http_auth
from bittensor.sp_core import Keypair
from bittensor.wallets import parse_crypto_type

REQUEST = {"text": "hello", "times": 3}


async def main(url, receiver):
    seen = {}
    async with aiohttp.ClientSession() as session:

        async def ask(name, key, sent, kind, **changes):
            said = {"method": "POST", "path": "/Repeat", "body": sent, "receiver_ss58": receiver} | changes
            headers = http_auth.sign(key, **said) | {"Content-Type": kind}
            async with session.post(f"{url}/Repeat", data=sent, headers=headers) as response:
                raw = await response.read()
                kind = response.headers["Content-Type"]
                reply = json.loads(raw) if kind == "application/json" else msgpack.unpackb(raw)
                seen[name] = {"status": response.status, "reply": reply}

        for scheme in ("sr25519", "ed25519"):
            key = Keypair.create_from_uri("//Caller", parse_crypto_type(scheme))
            await ask(f"{scheme} msgpack", key, msgpack.packb(REQUEST), "application/msgpack")
            await ask(f"{scheme} json", key, json.dumps(REQUEST).encode(), "application/json")
        body = msgpack.packb(REQUEST)
        await ask("another body signed", key, body, "application/msgpack", body=body + b"x")
        await ask("another receiver", key, body, "application/msgpack", receiver_ss58=key.ss58_address)
        await ask("no receiver", key, body, "application/msgpack", receiver_ss58=None)
        await ask("old", key, body, "application/msgpack", nonce_ns=time.time_ns() - 11 * 10**9)
        again = {"nonce_ns": time.time_ns()}
        await ask("once", key, body, "application/msgpack", **again)
        await ask("twice", key, body, "application/msgpack", **again)
        nonces = [time.time_ns() - i for i in range(256)]
        await asyncio.gather(
            *(ask(f"any order {n}", key, body, "application/msgpack", nonce_ns=nonce) for n, nonce in enumerate(nonces))
        )
    print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
