"""Lays the subnet on the chain: network, hyperparameters, registrations, stake; all as signed extrinsics.

What is done here with the client is what ``subnet create``, ``subnet register`` and ``subnet stake``
do by hand; only the hyperparameters need the chain's sudo key, //Alice on a local chain.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from subnet.demo.record import Actor, Record, Role
from subnet.keys import load_key
from subnet.types import rao

if TYPE_CHECKING:
    from subnet.chain import Chain

Tell = Callable[[str], None]

SUDO: Final = "//Alice"  # also owns the subnet
PAYER: Final = "//Bob"  # owns the neurons: what the subnet owner's own hotkeys serve is not paid
STAKE: Final = rao(5000)  # a validator's, far above what the owner's cut comes to
PATIENCE: Final = 120.0  # seconds until start_call may be allowed


def hyperparameters(tempo: int, validators: int) -> dict[str, dict[str, int | bool]]:
    """AdminUtils calls that make a subnet fast: an epoch every ``tempo`` blocks, weights seen at once.

    Permits for ``validators`` only (the owner has one anyway): else miners win them by what they earn.
    """
    return {
        "sudo_set_tempo": {"tempo": tempo},
        "sudo_set_commit_reveal_weights_enabled": {"enabled": False},
        "sudo_set_weights_set_rate_limit": {"weights_set_rate_limit": 0},
        "sudo_set_serving_rate_limit": {"serving_rate_limit": 0},
        "sudo_set_target_registrations_per_interval": {"target_registrations_per_interval": 100},
        "sudo_set_max_registrations_per_block": {"max_registrations_per_block": 100},
        "sudo_set_min_allowed_weights": {"min_allowed_weights": 1},
        "sudo_set_max_allowed_validators": {"max_allowed_validators": validators},
    }


async def lay(chain: Chain, record: Record, tell: Tell, enter: Callable[[Actor], None]) -> None:
    """Create the subnet, register the cast, stake the validators; fills uids and hotkeys in ``record``.

    ``enter`` is called with each actor as soon as it is registered (and staked): its process may
    start then. Raises ChainError for what the chain refuses.
    """
    sudo, payer = load_key(SUDO), load_key(PAYER)
    record.actors = [msgspec.structs.replace(a, hotkey=str(load_key(a.key).ss58_address)) for a in record.actors]
    (owner,) = record.of_role(Role.OWNER)
    created = await chain.register_network(sudo, owner.hotkey)
    netuid = record.netuid = created.netuid
    tell(f"subnet {netuid} created in block {created.block}; owner {owner.key} is uid 0")
    for call, arguments in hyperparameters(record.tempo, len(record.of_role(Role.VALIDATOR))).items():
        await chain.sudo(sudo, "AdminUtils", call, {"netuid": netuid, **arguments})
    tell(f"hyperparameters set: an epoch every {record.tempo} blocks, commit-reveal and rate limits off")
    await chain.wait_for_block(await chain.start_call_block(netuid), timeout=PATIENCE)
    started = await chain.start_call(sudo, netuid)
    tell(f"emission starts: start_call in block {started.block}")
    for actor in record.actors:
        if actor.role != Role.OWNER:
            await chain.burned_register(payer, netuid, actor.hotkey)
        if actor.role == Role.VALIDATOR:
            await chain.add_stake(payer, actor.hotkey, netuid, STAKE)
        enter(actor)
    await _read_uids(chain, record)
    tell(f"{len(record.actors)} neurons registered, both validators staked")


async def _read_uids(chain: Chain, record: Record) -> None:
    """The chain numbers the neurons, not the cast: take the uids as they came out."""
    metagraph = await chain.metagraph(record.netuid)
    actors: list[Actor] = []
    for actor in record.actors:
        uid = metagraph.uid_of(actor.hotkey)
        if uid is None:
            raise RuntimeError(f"{actor.name} was registered but holds no uid")
        actors.append(msgspec.structs.replace(actor, uid=int(uid)))
    record.actors = sorted(actors, key=lambda actor: actor.uid)
