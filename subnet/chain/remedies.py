"""What to do about each of the runtime's errors, by name, and what the pool's numbers mean.

One failure has two shapes: a dispatch error in a block, or a refusal by the transaction pool
(JSON-RPC 1010, "Custom error: 12"). :func:`pool_error` gives a refusal the name that the same
failure has in a block, so that callers go by one name. Numbers are those of spec 293 and later.
"""

from __future__ import annotations

import re

_SEND = "subnet transfer ADDRESS TAO --key PAYER"
_FUND = f"The amount and the fee must be covered; to put TAO on the account: {_SEND}."

REMEDIES = {
    # registration and subnets
    "SubnetNotExists": "Check --netuid; `subnet create` makes a new subnet.",
    "SubnetDoesNotExist": "Check --netuid; `subnet create` makes a new subnet.",
    "RegistrationNotPermittedOnRootSubnet": "Give a --netuid other than 0.",
    "RegistrationPriceLimitExceeded": "The burn is above the price you gave; wait, or give a higher one.",
    "SubNetworkDoesNotExist": "Check --netuid; `subnet create` makes a new subnet.",
    "MechanismDoesNotExist": "Check --netuid; `subnet create` makes a new subnet.",
    "HotKeyNotRegisteredInSubNet": "Register the hotkey on this subnet: subnet register --netuid N.",
    "HotKeyNotRegisteredInNetwork": "Register the hotkey on a subnet first: subnet register --netuid N.",
    "HotKeyAlreadyRegisteredInSubNet": "Nothing to do: this hotkey is registered already.",
    "HotKeyAccountNotExists": "Register the hotkey first: subnet register --netuid N.",
    "NonAssociatedColdKey": "Another coldkey owns this hotkey; sign with that one, or use another hotkey.",
    "SubNetRegistrationDisabled": "The owner closed registration on this subnet; wait, or choose another.",
    "TooManyRegistrationsThisBlock": "Try again in the next block.",
    "TooManyRegistrationsThisInterval": "Wait for the next registration interval (some hundred blocks).",
    "NoNeuronIdAvailable": "All uids are immune at present; try again after the immunity period.",
    "NeedWaitingMoreBlocksToStarCall": "Wait for the start delay to pass; `subnet create --start N` waits.",
    "FirstEmissionBlockNumberAlreadySet": "Nothing to do: this subnet has been started.",
    "SubtokenDisabled": "The subnet has not been started: its owner runs `subnet create --start N`.",
    "NetworkTxRateLimitExceeded": "Wait some blocks; subnets are created NetworkRateLimit (7,200) blocks apart.",
    "NotSubnetOwner": "Sign with the coldkey that owns the subnet.",
    "SubnetLimitReached": "The chain holds all the subnets it allows; wait for one to be pruned.",
    # money
    "NotEnoughBalanceToStake": _FUND,
    "CannotAffordLockCost": f"A subnet locks a thousand TAO or more; to put TAO on the coldkey: {_SEND}.",
    "BalanceWithdrawalError": _FUND,
    "NotEnoughStakeToWithdraw": "The hotkey holds less than this; ask for a smaller amount.",
    "AmountTooLow": "Move a larger amount; the chain has a minimum.",
    "StakeTooLowForRoot": "Stake more on this hotkey.",
    "InsufficientLiquidity": "The subnet's pool is too small for this amount; move less.",
    "SlippageTooHigh": "The price moved; try a smaller amount.",
    "InsufficientBalance": f"The existential deposit must stay on the account; to put TAO on it: {_SEND}.",
    "FundsUnavailable": _FUND,
    "ExistentialDeposit": "Send at least the existential deposit (500 RAO).",
    "NotExpendable": "Leave the existential deposit on the account.",
    "Payment": f"The signing account can't pay the fee; to put TAO on it: {_SEND}.",
    # weights
    "NotEnoughStakeToSetWeights": "Stake more on this hotkey: it is below the chain's threshold for weights.",
    "NeuronNoValidatorPermit": "Permits go to the highest stakes at each epoch: stake more, and wait for one.",
    "SettingWeightsTooFast": "Wait for the subnet's weights rate limit (blocks since the last update).",
    "CommittingWeightsTooFast": "Wait for the subnet's weights rate limit (blocks since the last update).",
    "IncorrectWeightVersionKey": "Upgrade the validator: the subnet asks for a newer weights version key.",
    "WeightVecNotEqualSize": "Give as many weights as uids.",
    "InputLengthsUnequal": "Give vectors of equal length.",
    "DuplicateUids": "Name each uid once.",
    "UidVecContainInvalidOne": "A uid is not on the subnet: read the metagraph again.",
    "UidsLengthExceedUidsInSubNet": "There are more uids than neurons: read the metagraph again.",
    "WeightVecLengthIsLow": "Weigh at least min_allowed_weights neurons.",
    "MaxWeightExceeded": "No weight may have a larger share than the subnet's max_weights_limit.",
    "CommitRevealEnabled": "This subnet takes weights by commit and reveal only.",
    "CommitRevealDisabled": "This subnet takes weights directly: use set_weights.",
    "NoWeightsCommitFound": "Commit before you reveal; the commit may have expired.",
    "InvalidRevealCommitHashNotMatch": "Reveal exactly the uids, values, salt and version key that were committed.",
    "RevealTooEarly": "Wait for the epoch in which the commit may be revealed.",
    "ExpiredWeightCommit": "The reveal's epoch is over: commit again.",
    "TooManyUnrevealedCommits": "Reveal the open commits first; ten may be open.",
    "IncorrectCommitRevealVersion": "Upgrade: the chain asks for a newer commit-reveal version.",
    "CanNotSetRootNetworkWeights": "Root weights can't be set this way; give a subnet's --netuid.",
    # axons
    "InvalidIpAddress": "Serve a public address; only a local chain may be told to take loopback.",
    "InvalidIpType": "Give an IPv4 or IPv6 address.",
    "InvalidPort": "Give the port on which others reach this neuron; 0 is none.",
    "ServingRateLimitExceeded": "Wait for the subnet's serving rate limit (about 50 blocks).",
    # commitments, delegation, identities
    "AccountNotAllowedCommit": "Register the hotkey on this subnet: subnet register --netuid N.",
    "SpaceLimitExceeded": "The hotkey has committed all it may in this epoch; wait for the next.",
    "DelegateTakeTooLow": "Takes are raised with increase_take and lowered with decrease_take; mind the least one.",
    "DelegateTakeTooHigh": "Takes are raised with increase_take and lowered with decrease_take; mind the highest one.",
    "DelegateTxRateLimitExceeded": "A take may be raised once in a while only (216,000 blocks); wait.",
    "TxRateLimitExceeded": "This key did the same a short while ago; wait some blocks.",
    "TxChildkeyTakeRateLimitExceeded": "A childkey take may be raised once in a while only; wait.",
    "InvalidChildkeyTake": "Keep the take between the chain's least and highest childkey take (at most 18%).",
    "InvalidChild": "A hotkey can't be its own child.",
    "DuplicateChild": "Name each child once.",
    "TooManyChildren": "Name at most five children.",
    "ProportionOverflow": "The children's shares may add up to the whole at most.",
    "ChildParentInconsistency": "A child of this hotkey can't be its parent too.",
    "NotEnoughStakeToSetChildkeys": "Stake more on this hotkey: it is below the chain's threshold for children.",
    "InvalidIdentity": "Shorten the identity's texts; each has a limit.",
    "TransferDisallowed": "The subnet's owner does not allow stake to be moved to others.",
    # proof of work
    "InvalidWorkBlock": "The work is for a block of long ago; search on a fresh one.",
    "InvalidDifficulty": "The work is not hard enough for the subnet's difficulty as it is now; search again.",
    "InvalidSeal": "The work is for another hotkey, block or nonce; search again.",
    "POWRegistrationDisabled": "This chain takes no proof of work: subnet register --netuid N.",
    "TransactorAccountShouldBeHotKey": "Sign with the hotkey itself.",
    # who may
    "CallDisabled": "This chain does not have what the call needs; the local chain has no drand, for one.",
    "AdminActionProhibitedDuringWeightsWindow": "Wait for the subnet's epoch; rules don't change right before it.",
    "InvalidValue": "The value is out of the bounds that the chain sets for it.",
    "ValueNotInBounds": "The value is out of the bounds that the chain sets for it.",
    "TooManyCalls": "Split the batch: it may hold a thousand calls or fewer.",
    "BadOrigin": "Sign with the account that may do this (the owner, or sudo on a local chain).",
    "RequireSudo": "Sign with the sudo account (//Alice on a local chain).",
    "CallFiltered": "The chain does not allow this call at present.",
    # the pool's own
    "Stale": "The account sent something else meanwhile; send again.",
    "Future": "An earlier extrinsic of this account is missing; send again.",
    "BadProof": "The signature does not fit this chain: check the key, and that the endpoint is up to date.",
    "AncientBirthBlock": "The extrinsic is too old for the chain; send again.",
    "ExhaustsResources": "The block is full, or the extrinsic too large; try again.",
    "PriorityTooLow": "The account has an extrinsic of this nonce in the pool; wait for the next block.",
    "TemporarilyBanned": "The pool saw this extrinsic fail a moment ago; wait some blocks.",
    "ImmediatelyDropped": "The node's pool is full; try again or use another --endpoint.",
    "Expired": "It never got into a block and no longer can; send again.",
    "RateLimitExceeded": "This key did the same a short while ago; wait some blocks.",
    "Usurped": "The account used this nonce for something else; send again.",
    "BadFormat": "The node can't read the extrinsic: its runtime may have been upgraded; send again.",
    "VerificationError": "The node can't verify the extrinsic: its runtime may have been upgraded; send again.",
    "UnknownValidity": "The node lacks what it needs to check this; send again, or use another --endpoint.",
    "Unactionable": "The node may not pass this on; use another --endpoint.",
    "BadRequest": "The chain refuses this call for this key; check every argument.",
}
DEFAULT = "Read the runtime error's name above; the subtensor source explains it."

_CUSTOM = {
    0: "ColdkeyInSwapSchedule",
    1: "StakeAmountTooLow",
    2: "NotEnoughBalanceToStake",
    3: "SubnetNotExists",
    4: "HotKeyAccountNotExists",
    5: "NotEnoughStakeToWithdraw",
    6: "RateLimitExceeded",
    7: "InsufficientLiquidity",
    8: "SlippageTooHigh",
    9: "TransferDisallowed",
    10: "HotKeyNotRegisteredInNetwork",
    11: "InvalidIpAddress",
    12: "ServingRateLimitExceeded",
    13: "InvalidPort",
    14: "ZeroMaxAmount",
    15: "InvalidRevealRound",
    16: "NoWeightsCommitFound",
    17: "RevealTooEarly",
    18: "InputLengthsUnequal",
    19: "HotKeyNotRegisteredInSubNet",
    255: "BadRequest",
}
_BY_CALL = {  # the same number means a more exact thing for these calls
    (1, "weights"): "NotEnoughStakeToSetWeights",
    (1, "stake"): "AmountTooLow",
    (6, "set_weights"): "SettingWeightsTooFast",
    (6, "set_mechanism_weights"): "SettingWeightsTooFast",
    (6, "commit"): "CommittingWeightsTooFast",
    (6, "register_network"): "NetworkTxRateLimitExceeded",
    (6, "register"): "TooManyRegistrationsThisInterval",
    (2, "reveal_weights"): "NotEnoughStakeToSetWeights",  # 2, 3 and 5 so up to spec 218
    (3, "set_weights"): "NotEnoughStakeToSetWeights",
    (5, "register"): "TooManyRegistrationsThisInterval",
    (255, "serve_axon"): "InvalidIpType",
}
_RPC = {
    1001: "BadFormat",
    1002: "VerificationError",
    1011: "UnknownValidity",
    1012: "TemporarilyBanned",
    1013: "AlreadyImported",
    1014: "PriorityTooLow",
    1015: "CycleDetected",
    1016: "ImmediatelyDropped",
    1018: "Unactionable",
    1019: "NoTags",
    1020: "InvalidBlockId",
    1021: "Future",
}
_PHRASES = {  # how sp_runtime words InvalidTransaction
    "inability to pay": "Payment",
    "will be valid in the future": "Future",
    "outdated": "Stale",
    "bad signature": "BadProof",
    "ancient birth block": "AncientBirthBlock",
    "exhaust the resources": "ExhaustsResources",
    "call is not expected": "Call",
    # the same as chopsticks gives it: {"invalid":{"badProof":null}}
    '"payment"': "Payment",
    '"future"': "Future",
    '"stale"': "Stale",
    '"badproof"': "BadProof",
    '"ancientbirthblock"': "AncientBirthBlock",
    '"exhaustsresources"': "ExhaustsResources",
    '"call"': "Call",
}
_NUMBER = re.compile(r"custom(?: error:?\s*|\":\s*)(\d+)", re.IGNORECASE)


def remedy(name: str) -> str:
    """What to do about a runtime or pool error of this name."""
    return REMEDIES.get(name, DEFAULT)


def pool_error(rpc_code: int, text: str, call: str) -> str:
    """The runtime error's name behind a pool's refusal of ``call``; ``text`` is its message and data."""
    if rpc_code in _RPC:
        return _RPC[rpc_code]
    if found := _NUMBER.search(text):
        return _custom(int(found[1]), call)
    lowered = text.lower()
    return next((name for phrase, name in _PHRASES.items() if phrase in lowered), "Rejected")


def _custom(number: int, call: str) -> str:
    for (custom, part), name in _BY_CALL.items():
        if custom == number and part in call:
            return name
    return _CUSTOM.get(number, f"Custom{number}")
