"""What bittensor 11's http_auth makes of each case: a JSON list on stdin, the outcomes on stdout.

Runs in bittensor's own environment. A case is the arguments of ``verify`` (``body`` in hex); its outcome is the name
of the exception, or what the Caller says. All cases share one nonce store. With ``--names`` it prints the module's
public names and the parameters of its functions instead.
"""

import inspect
import json
import sys

from bittensor import http_auth


def parameters(function):
    return [[p.name, p.kind.name, repr(p.default)] for p in inspect.signature(function).parameters.values()]


def outcome(case, store):
    try:
        caller = http_auth.verify(case.pop("headers"), bytes.fromhex(case.pop("body")), nonce_store=store, **case)
    except Exception as error:
        return type(error).__name__
    return [caller.hotkey_ss58, caller.nonce_ns, caller.crypto_type]


if sys.argv[1:] == ["--names"]:
    functions = {name: parameters(getattr(http_auth, name)) for name in ("sign", "verify", "build_payload")}
    print(json.dumps({"names": http_auth.__all__, "functions": functions}))
else:
    store = http_auth.InMemoryNonceStore()
    print(json.dumps([outcome(case, store) for case in json.load(sys.stdin)]))
