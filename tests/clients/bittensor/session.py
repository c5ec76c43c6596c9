"""What users of bittensor 11.3 do, against a local chain; prints what they saw as one JSON object.

Runs in bittensor's own environment, not in this project's: ``python session.py ws://...``.
"""

import asyncio
import json
import sys
from types import SimpleNamespace

from bittensor import Client, RpcSubstrate, calls, intents
from bittensor.sp_core import Keypair

ADDRESS = "10.1.2.3"


def wallet(coldkey, hotkey):
    cold = Keypair.create_from_uri(coldkey)
    return SimpleNamespace(coldkey=cold, coldkeypub=cold, hotkey=Keypair.create_from_uri(hotkey))


OWNER = wallet("//Alice", "//Alice//owner")
VALIDATOR = wallet("//Bob", "//Bob//validator")
MINER = wallet("//Charlie", "//Charlie//miner")


def hotkey(of):
    return of.hotkey.ss58_address


class User:
    def __init__(self, url):
        self.substrate = RpcSubstrate(url)
        self.client = Client(url, substrate=self.substrate)

    async def do(self, intent, who):
        result = await self.client.execute(intent, who)
        if not result.success:
            raise SystemExit(f"{intent.op} failed: {result.message} ({result.error})")
        return result

    async def submit(self, call, who):
        result = await self.client.submit_call(call, who)
        if not result.success:
            raise SystemExit(f"{call} failed: {result.message} ({result.error})")

    async def sudo(self, call):
        await self.submit(calls.Sudo.sudo(call=await self.substrate.compose(call)), OWNER)


async def build(user, seen):
    """A subnet with a validator and a miner."""
    created = await user.do(intents.RegisterSubnet(hotkey_ss58=hotkey(OWNER)), OWNER)
    netuid = created.data["netuid"]
    await user.do(intents.StartCall(netuid=netuid), OWNER)
    off = intents.SetHyperparameter(netuid=netuid, name="commit_reveal_weights_enabled", value=False)
    await user.do(off, OWNER)
    await user.sudo(calls.AdminUtils.sudo_set_weights_set_rate_limit(netuid=netuid, weights_set_rate_limit=0))
    # on a connection of its own: after a shielded extrinsic 11.3's nonce is one behind the account's
    other = User(user.client.endpoint)
    async with other.client:
        for who in (VALIDATOR, MINER):
            registered = await other.do(intents.BurnedRegister(netuid=netuid, hotkey_ss58=hotkey(who)), who)
            seen["shielded"] = registered.data.get("shielded")
    stake = intents.AddStake(hotkey_ss58=hotkey(VALIDATOR), netuid=netuid, amount_tao=100)
    seen["stake_fee_rao"] = (await user.client.plan(stake, VALIDATOR)).fee.rao
    await user.do(stake, VALIDATOR)
    await user.do(intents.ServeAxon(netuid=netuid, ip=ADDRESS, port=8091), MINER)
    return netuid


async def score(user, netuid, seen):
    """Weights, once an epoch has given the validator its permit, and the epoch that they count in."""
    client = user.client
    validator = await client.read("uid", hotkey_ss58=hotkey(VALIDATOR), netuid=netuid)
    miner = await client.read("uid", hotkey_ss58=hotkey(MINER), netuid=netuid)
    while True:
        await client.wait_for_epoch(netuid, timeout=60)
        graph = await client.subnets.metagraph(netuid)
        if graph.neuron(validator).validator_permit:
            break
    await user.do(intents.SetWeights(netuid=netuid, weights={miner: 1.0}), VALIDATOR)
    seen["weights"] = await client.read("weights", netuid=netuid)
    await client.wait_for_epoch(netuid, timeout=60)
    seen["uids"] = {"validator": validator, "miner": miner}


async def look(user, netuid, seen):
    client = user.client
    graph = await client.subnets.metagraph(netuid)
    seen["metagraph"] = [
        {
            "uid": neuron.uid,
            "hotkey": neuron.hotkey,
            "coldkey": neuron.coldkey,
            "incentive": neuron.incentive,
            "dividends": neuron.dividends,
            "permit": neuron.validator_permit,
            "alpha_rao": neuron.alpha_stake.rao,
            "axon": neuron.axon,
        }
        for neuron in graph
    ]
    for lite in (True, False):
        neurons = await client.read("neurons", netuid=netuid, lite=lite)
        seen["neurons" if lite else "full_neurons"] = [one.hotkey for one in neurons]
    position = await client.read(
        "stake", coldkey_ss58=VALIDATOR.coldkey.ss58_address, hotkey_ss58=hotkey(VALIDATOR), netuid=netuid
    )
    seen["stake_rao"] = position.rao
    seen["hyperparameters"] = await client.read("subnet_hyperparameters", netuid=netuid)
    seen["balance_after_rao"] = (await client.balances.get(VALIDATOR.coldkey.ss58_address)).rao


async def session(url):
    user, seen = User(url), {}
    async with user.client as client:
        seen["spec_version"] = await client.spec_version()
        seen["balance_rao"] = (await client.balances.get(VALIDATOR.coldkey.ss58_address)).rao
        seen["subnet_cost_rao"] = (await client.subnets.subnet_registration_cost()).rao
        seen["netuid"] = await build(user, seen)
        await score(user, seen["netuid"], seen)
        await look(user, seen["netuid"], seen)
    print(json.dumps(seen))


asyncio.run(session(sys.argv[1]))
