"""A plain aiohttp server that verifies with bittensor 11's http_auth; prints its port, ends with its stdin.

Runs in bittensor's own environment: ``python btauth_server.py OWN_SS58``.
"""

import asyncio
import sys

import msgpack
from aiohttp import web
from bittensor import http_auth

NONCES = http_auth.InMemoryNonceStore()


async def repeat(request):
    body = await request.read()
    try:
        caller = http_auth.verify(
            request.headers,
            body,
            method=request.method,
            path=request.raw_path,
            self_hotkey_ss58=sys.argv[1],
            nonce_store=NONCES,
        )
    except http_auth.AuthError as error:
        return web.Response(status=401, body=msgpack.packb({"code": type(error).__name__, "message": str(error)}))
    asked = msgpack.unpackb(body)
    reply = {"text": asked["text"] * asked["times"], "caller": caller.hotkey_ss58}
    return web.Response(body=msgpack.packb(reply), content_type="application/msgpack")


async def main():
    app = web.Application()
    app.router.add_post("/{path:.*}", repeat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
