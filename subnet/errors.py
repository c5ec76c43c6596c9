"""Every error this library raises on purpose, in one tree.

::

    SubnetError
    ├── UsageError                      a command line that can't be understood
    ├── Declined                        somebody was asked, and said no
    ├── ConfigError                     a setting that can't be used
    ├── KeyfileError                    a hotkey or coldkey that can't be read
    ├── DeclarationError (TypeError)    a Message, Synapse, Miner or Validator that can't work
    ├── StoreError                      the SQLite store can't be opened or written
    ├── DevnetError                     the local chain can't start or go on
    ├── DemoError                       the demo can't go on: a process of it ended, or nothing was paid
    ├── MissingExtra                    a feature whose packages were not installed
    ├── GateFailed                      a simulation that shows less than `subnet simulate --gate` asks for
    ├── DoctorFailed                    `subnet doctor` found something that has to be mended
    ├── WireError                       what an axon answers with, each with its HTTP status
    │   ├── BodyTooLarge      413       ├── UnknownSynapse    404
    │   ├── Malformed         400       ├── UnknownEncoding   415
    │   ├── TooDeep           400       ├── NotPermitted      403
    │   ├── WrongType         422       ├── RateLimited       429
    │   ├── BadTensor         422       ├── Busy              503
    │   ├── SlowRequest       408       ├── HandlerFailed     500
    │   ├── WrongMethod       405       ├── HandlerTimeout    504
    │   ├── MinerFailed       502       ├── TooMuch           422
    │   └── AuthError         401
    │       ├── MalformedAuth 401       ├── WrongReceiver     421
    │       ├── StaleRequest  401       ├── ReplayedRequest   409
    │       └── BadSignature  401
    ├── BadReceipt                      a receipt that does not prove its reply
    ├── BackendFailed                   a miner's model that does not answer
    ├── StreamFailed                    a streamed reply that was refused, broke off, or took too long
    └── ChainError
        ├── ChainUnreachable            no endpoint answers
        ├── ChainTimeout                an endpoint answers too late
        ├── ChainMalformed              an endpoint answers what no chain says
        ├── ChainRefused                an endpoint refuses a call (a JSON-RPC error)
        ├── NotASubtensor               a chain without SubtensorModule
        ├── WrongNetwork                another genesis than the one asked for
        ├── NoSuchSubnet                no subnet of this number on the chain
        ├── NotRegistered               the hotkey has no uid on the subnet
        └── ExtrinsicFailed             refused by the pool or failed in the block

Each class carries ``code`` (stable, lowercase, dotted), ``remedy`` (what to do
next) and ``exit_code`` (what the ``subnet`` command ends with).
"""

from __future__ import annotations

from typing import Any, ClassVar


class SubnetError(Exception):
    """Base of all errors of this library.

    ``str(error)`` says what went wrong; ``error.remedy`` says what to do next and may be
    replaced per instance.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    remedy: str = "Run the command again with --verbose and read the log."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        if remedy is not None:
            self.remedy = remedy

    @property
    def message(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__

    def as_dict(self) -> dict[str, Any]:
        """The error as data: ``code``, ``message`` and ``remedy``; what ``--json`` and the wire carry."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy}


class UsageError(SubnetError):
    """A command line that can't be understood: a command, option or value that is not there."""

    code = "usage"
    exit_code = 2
    remedy = "See `subnet --help`, and `subnet COMMAND --help` for a command's options."


class Declined(SubnetError):
    """The question whether to go on was answered with no: nothing was sent or written."""

    code = "declined"
    exit_code = 1
    remedy = "Run the command again and answer y, or add --yes."


class ConfigError(SubnetError):
    """A flag, environment variable or line of subnet.toml that can't be used."""

    code = "config"
    exit_code = 2
    remedy = "Correct the value named above; docs/reference/cli.md lists the settings."


class KeyfileError(SubnetError):
    """A hotkey or coldkey that can't be read."""

    code = "keyfile"
    exit_code = 3
    remedy = "Check --wallet and --hotkey, or use a development key such as --key //Alice on a local chain."


class DeclarationError(SubnetError, TypeError):
    """A Message, Synapse, Miner or Validator whose declaration can't work."""

    code = "declaration"
    exit_code = 4
    remedy = "Correct the class named above; docs/reference/synapse.md shows what may be declared."


class StoreError(SubnetError):
    """The SQLite store can't be opened, read or written."""

    code = "store"
    exit_code = 5
    remedy = "Check that the folder exists, is writable and has free space, and that no second process holds it."


class DevnetError(SubnetError):
    """The local chain can't start or go on."""

    code = "devnet"
    exit_code = 6
    remedy = "Read the message; another port (--port 0) or a fresh state file (--state) often helps."


class DemoError(SubnetError):
    """The demo can't go on: one of its processes ended, or its subnet did not come to life in time."""

    code = "demo"
    exit_code = 7
    remedy = "Read the logs in the folder that the demo names; each process has one of its own."


class MissingExtra(SubnetError):
    """A feature whose packages were not installed; the remedy is the command that installs them."""

    code = "missing-extra"
    exit_code = 8
    remedy = "Install the extra that is named above: pip install 'subnetkit[...]'."


class GateFailed(SubnetError):
    """A simulation shows less than its gate asks for; the rest of the run was well."""

    code = "lab.gate"
    exit_code = 9
    remedy = "Mend the scoring rule until the attack stops paying, or argue for another gate."


class DoctorFailed(SubnetError):
    """`subnet doctor` found something that keeps the neuron from its work; each finding has its own remedy."""

    code = "doctor"
    exit_code = 13
    remedy = "Do what stands below each line that begins with FAIL."


class WireError(SubnetError):
    """A request that an axon refuses, or could not answer; ``status`` is the HTTP status it travels under."""

    code = "wire"
    exit_code = 10
    status: ClassVar[int] = 400
    remedy = "Correct the request."

    def __init__(self, message: str, *, remedy: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after = retry_after  # seconds; only where waiting helps


class BodyTooLarge(WireError):
    """The body is larger than the synapse's cap, by its declaration or as it streamed in."""

    code = "wire.body-too-large"
    status = 413
    remedy = "Send fewer items in one request, or raise max_request= (max_reply=) on the synapse at both ends."


class Malformed(WireError):
    """The body is not one complete msgpack (or JSON) document."""

    code = "wire.malformed"
    status = 400
    remedy = "Encode the body with subnet.codec, or any msgpack or JSON library."


class TooDeep(WireError):
    """The body nests deeper than the codec allows."""

    code = "wire.too-deep"
    status = 400
    remedy = "Flatten the message."


class WrongType(WireError):
    """A field is missing or has another type than the synapse declares."""

    code = "wire.wrong-type"
    status = 422
    remedy = "Use the same protocol.py at both ends."


class BadTensor(WireError):
    """A tensor whose dtype, shape or byte count is not what its Spec declares."""

    code = "wire.bad-tensor"
    status = 422
    remedy = "Send the dtype and named dimensions that the Spec declares."


class SlowRequest(WireError):
    """The request's body did not arrive within the axon's time limit."""

    code = "wire.slow-request"
    status = 408
    remedy = "Send the body at once, or raise the axon's body_timeout."


class UnknownSynapse(WireError):
    """No handler serves this path."""

    code = "wire.unknown-synapse"
    status = 404
    remedy = "POST /<synapse name>; the miner serves only the synapses its handlers declare."


class WrongMethod(WireError):
    """Synapses are POSTed."""

    code = "wire.wrong-method"
    status = 405
    remedy = "Send the request as POST."


class UnknownEncoding(WireError):
    """A Content-Type other than msgpack or JSON, or any Content-Encoding."""

    code = "wire.unknown-encoding"
    status = 415
    remedy = "Send application/msgpack or application/json, without Content-Encoding."


class NotPermitted(WireError):
    """The caller is known but the miner's admission refuses it."""

    code = "wire.not-permitted"
    status = 403
    remedy = "Register as a validator with a permit or enough stake on this subnet."


class RateLimited(WireError):
    """More requests from one address or hotkey than the miner accepts."""

    code = "wire.rate-limited"
    status = 429
    remedy = "Wait for the time in Retry-After."


class Busy(WireError):
    """The miner's queue is full."""

    code = "wire.busy"
    status = 503
    remedy = "Wait for the time in Retry-After, or ask another miner."


class TooMuch(WireError):
    """The request asks for more than this miner can do for any caller: more tokens than its model's context holds."""

    code = "wire.too-much"
    status = 422
    remedy = "Ask for less in one request; the message says how much fits."


class HandlerFailed(WireError):
    """The miner's handler raised, or answered something other than its declared reply."""

    code = "wire.handler-failed"
    status = 500
    remedy = "The miner's log holds the traceback."


class HandlerTimeout(WireError):
    """The miner's handler took longer than the synapse's timeout."""

    code = "wire.handler-timeout"
    status = 504
    remedy = "Ask for less work in one request, or raise timeout= on the synapse."


class MinerFailed(WireError):
    """No miner that a validator asked for its user gave a usable reply."""

    code = "wire.miner-failed"
    status = 502
    remedy = "Send the request again: other miners may be asked then."


class AuthError(WireError):
    """A signed request failed authentication; the subclasses say why.

    Messages never echo the signature or the payload, so they are safe to send to a stranger.
    """

    code = "auth"
    status = 401
    remedy = "Sign the request with subnet.auth.sign (btauth/1)."


class MalformedAuth(AuthError):
    """A required header is missing or can't be parsed."""

    code = "auth.malformed"


class WrongReceiver(AuthError):
    """The request was signed for another receiving hotkey, or for none."""

    code = "auth.wrong-receiver"
    status = 421
    remedy = "Sign for the hotkey that the metagraph lists at this address; refresh the metagraph."


class StaleRequest(AuthError):
    """The nonce lies outside the freshness window (too old, or too far ahead)."""

    code = "auth.stale"
    remedy = "Sign a fresh nonce for each try and keep the clock in step (NTP)."


class ReplayedRequest(AuthError):
    """This (hotkey, nonce) pair was accepted before."""

    code = "auth.replayed"
    status = 409
    remedy = "Sign a fresh nonce for each try."


class BadSignature(AuthError):
    """The signature does not verify against the claimed hotkey."""

    code = "auth.bad-signature"
    remedy = "Sign exactly the method, path, body and receiver that are sent, with the hotkey that is named."


class BadReceipt(SubnetError):
    """A receipt does not prove the reply it came with."""

    code = "receipt"
    exit_code = 11
    remedy = "Treat the reply as unsigned: the miner, or something between, changed it."


class BackendFailed(SubnetError):
    """A miner's model did not answer, or does not do what it was asked for."""

    code = "backend"
    exit_code = 15
    remedy = "See whether the model, or its server, runs and what its log says."


class StreamFailed(SubnetError):
    """A streamed reply that was refused, broke off, took too long or could not be believed.

    ``failure`` (a :class:`subnet.Failure`) says which, as for a reply that is no stream.
    """

    code = "dendrite.stream"
    exit_code = 12
    remedy = "Score what came before as you see fit, and ask another peer."

    def __init__(self, message: str, *, failure: Any, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.failure = failure


class ChainError(SubnetError):
    """Anything that goes wrong between us and a chain."""

    code = "chain"
    exit_code = 20
    remedy = "Check --endpoint; `subnet chain` starts a local one."


class ChainUnreachable(ChainError):
    """No endpoint accepts a connection."""

    code = "chain.unreachable"
    exit_code = 21
    remedy = "Check --endpoint and that the node runs; `subnet chain` starts a local one."


class ChainTimeout(ChainError):
    """An endpoint did not answer within its deadline."""

    code = "chain.timeout"
    exit_code = 22
    remedy = "The node hangs or is overloaded; try another --endpoint."


class ChainMalformed(ChainError):
    """An endpoint's answer can't be what a chain says: not JSON, not SCALE, wrong lengths, or over our limits."""

    code = "chain.malformed"
    exit_code = 27
    remedy = "The endpoint is broken, lies, or speaks a newer format; try another --endpoint."


class ChainRefused(ChainError):
    """The endpoint answered a call with a JSON-RPC error; ``rpc_code`` and ``data`` are its own words."""

    code = "chain.refused"
    exit_code = 28
    remedy = "Read the node's message; an old block needs an archive node, a missing method another endpoint."

    def __init__(self, message: str, *, rpc_code: int, data: str = "", remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.rpc_code = rpc_code
        self.data = data

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "rpc_code": self.rpc_code, "data": self.data}


class NotASubtensor(ChainError):
    """The chain has no SubtensorModule pallet."""

    code = "chain.not-a-subtensor"
    exit_code = 23
    remedy = "Point --endpoint at a subtensor node or at `subnet chain`."


class WrongNetwork(ChainError):
    """The chain's genesis hash is not the one that was asked for."""

    code = "chain.wrong-network"
    exit_code = 24
    remedy = "Check --endpoint and --genesis-hash; a local chain started afresh has a genesis of its own."


class NoSuchSubnet(ChainError):
    """The chain has no subnet of this number (at this block)."""

    code = "chain.no-such-subnet"
    exit_code = 29
    remedy = "Check --netuid; `subnet create` makes a new one."


class NotRegistered(ChainError):
    """The hotkey has no uid on the subnet."""

    code = "chain.not-registered"
    exit_code = 25
    remedy = "Register it: subnet register --netuid N --hotkey NAME."


class ExtrinsicFailed(ChainError):
    """An extrinsic was refused by the pool or failed in its block: one error for both shapes.

    ``name`` is the runtime's error name (``NeuronNoValidatorPermit``) or the pool's reason;
    ``where`` is ``"pool"``, ``"block"``, or the kind of call around the one that failed in an
    accepted extrinsic: ``"sudo"``, ``"batch"`` (``index`` is the call's place in it), ``"proxy"``
    or ``"multisig"``.
    """

    code = "chain.extrinsic-failed"
    exit_code = 26
    remedy = "Read the runtime error's name above."

    def __init__(
        self, message: str, *, name: str, where: str, remedy: str | None = None, index: int | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.name = name
        self.where = where
        self.index = index

    def as_dict(self) -> dict[str, Any]:
        place = {} if self.index is None else {"index": self.index}
        return {**super().as_dict(), "name": self.name, "where": self.where, **place}
