"""The ledger under any calls in any order: nothing comes from nowhere, and what is staked can be unstaked."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from subnet.devnet.accounts import DEVELOPMENT
from subnet.devnet.chain import Chain
from subnet.devnet.context import Spec
from subnet.devnet.extrinsic import Era, Extrinsic
from subnet.devnet.pallets.balances import Balances, free
from subnet.devnet.pallets.subtensor import SubtensorModule as S
from subnet.devnet.pallets.subtensor import subnet_account
from subnet.devnet.pallets.subtensor_staking import stake_of
from subnet.devnet.pallets.system import System
from subnet.devnet.state import Store

TAO = 10**9
COLDKEYS = [account.public_key for account in DEVELOPMENT[:3]] + [b"\x11" * 32]
HOTKEYS = [hashlib.sha256(b"hotkey %d" % number).digest() for number in range(4)]
coldkeys, hotkeys = st.sampled_from(COLDKEYS), st.sampled_from(HOTKEYS)
netuids = st.sampled_from([0, 1, 2, 3])
amounts = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3000 * TAO), st.integers(0, 3_000_000))

# what may change under a running subnet
SUDO: list[tuple[str, dict[str, Any]]] = [
    ("sudo_set_mechanism_count", {"netuid": 1, "mechanism_count": 2}),
    ("sudo_set_mechanism_count", {"netuid": 1, "mechanism_count": 1}),
    ("sudo_set_mechanism_emission_split", {"netuid": 1, "maybe_split": [1, 65_534]}),
    ("sudo_set_nominator_min_required_stake", {"min_stake": 10 * TAO}),
    ("sudo_set_recycle_or_burn", {"netuid": 1, "recycle_or_burn": ("Recycle", None)}),
    ("sudo_set_ck_burn", {"burn": 2**63}),
    ("sudo_set_yuma3_enabled", {"netuid": 1, "enabled": False}),
    ("sudo_set_owner_cut_enabled", {"netuid": 1, "enabled": False}),
    ("sudo_trim_to_max_allowed_uids", {"netuid": 1, "max_n": 2}),
    ("sudo_set_max_allowed_uids", {"netuid": 1, "max_allowed_uids": 3}),
]


class Defects(logging.Handler):
    """Keeps what was logged."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(self.format(record))


class Ledger(RuleBasedStateMachine):
    """Random calls, several a block; the invariants are checked after each block."""

    @initialize()
    def start(self) -> None:
        self.chain = Chain(Store(None), Spec(tempo=3, start_call_delay=0), DEVELOPMENT, 5000 * TAO)
        self.state = self.chain.state
        self.waiting: list[Extrinsic] = []
        self.count = 0
        self.defects = Defects(logging.ERROR)
        logging.getLogger("subnet.devnet").addHandler(self.defects)
        self.send(COLDKEYS[0], "SubtensorModule", "register_network", hotkey=HOTKEYS[0])
        self.send(COLDKEYS[0], "SubtensorModule", "start_call", netuid=1)
        for name, args in (
            ("sudo_set_network_rate_limit", {"rate_limit": 0}),
            ("sudo_set_commit_reveal_weights_enabled", {"netuid": 1, "enabled": False}),
            ("sudo_set_weights_set_rate_limit", {"netuid": 1, "weights_set_rate_limit": 0}),
            ("sudo_set_max_allowed_uids", {"netuid": 1, "max_allowed_uids": 3}),
            ("sudo_set_immunity_period", {"netuid": 1, "immunity_period": 2}),
            ("sudo_set_target_registrations_per_interval", {"netuid": 0, "target_registrations_per_interval": 100}),
        ):
            self.send(COLDKEYS[0], "Sudo", "sudo", call=self.chain.runtime.call("AdminUtils", name, **args))
        self.end_block()

    def send(self, who: bytes, pallet: str, name: str, **args: Any) -> None:
        call = self.chain.runtime.call(pallet, name, **args)
        self.count += 1
        number = self.count.to_bytes(32, "little")
        fee = self.chain.runtime.fee(call, len(number))
        if free(self.state, who) > 2 * fee:  # what the pool would have asked
            self.waiting.append(Extrinsic(number, number, who, "Sr25519", b"", Era(b"\0"), 0, 0, False, call))
        if len(self.waiting) > 3:
            self.end_block()

    @rule()
    def end_block(self) -> None:
        self.chain.build(one for one in self.waiting if self.chain.runtime.can_pay(self.chain.context(), one))
        self.waiting = []

    @rule(who=coldkeys, to=coldkeys, value=amounts, alive=st.booleans())
    def transfer(self, who: bytes, to: bytes, value: int, alive: bool) -> None:
        name = "transfer_keep_alive" if alive else "transfer_allow_death"
        self.send(who, "Balances", name, dest=("Id", to), value=value)

    @rule(who=coldkeys, to=coldkeys, alive=st.booleans())
    def transfer_all(self, who: bytes, to: bytes, alive: bool) -> None:
        self.send(who, "Balances", "transfer_all", dest=("Id", to), keep_alive=alive)

    @rule(who=coldkeys, hotkey=hotkeys)
    def register_network(self, who: bytes, hotkey: bytes) -> None:
        self.send(who, "SubtensorModule", "register_network", hotkey=hotkey)

    @rule(who=coldkeys, hotkey=hotkeys, netuid=netuids)
    def register(self, who: bytes, hotkey: bytes, netuid: int) -> None:
        self.send(who, "SubtensorModule", "burned_register", netuid=netuid, hotkey=hotkey)

    @rule(who=coldkeys, hotkey=hotkeys, netuid=netuids, amount=amounts)
    def stake(self, who: bytes, hotkey: bytes, netuid: int, amount: int) -> None:
        self.send(who, "SubtensorModule", "add_stake", hotkey=hotkey, netuid=netuid, amount_staked=amount)

    @rule(who=coldkeys, hotkey=hotkeys, netuid=netuids, amount=amounts)
    def unstake(self, who: bytes, hotkey: bytes, netuid: int, amount: int) -> None:
        self.send(who, "SubtensorModule", "remove_stake", hotkey=hotkey, netuid=netuid, amount_unstaked=amount)

    @rule(
        who=hotkeys, dests=st.permutations([0, 1, 2]), weights=st.lists(st.integers(0, 65535), min_size=3, max_size=3)
    )
    def weigh(self, who: bytes, dests: list[int], weights: list[int]) -> None:
        call = self.chain.runtime.call(
            "SubtensorModule", "set_weights", netuid=1, dests=dests, weights=weights, version_key=0
        )
        self.count += 1
        number = self.count.to_bytes(32, "little")
        self.waiting.append(Extrinsic(number, number, who, "Sr25519", b"", Era(b"\0"), 0, 0, False, call))

    @rule(who=coldkeys, one=hotkeys, other=hotkeys, start=netuids, goal=netuids, amount=amounts)
    def move(self, who: bytes, one: bytes, other: bytes, start: int, goal: int, amount: int) -> None:
        names = ("origin_hotkey", "destination_hotkey", "origin_netuid", "destination_netuid", "alpha_amount")
        args = dict(zip(names, (one, other, start, goal, amount), strict=True))
        self.send(who, "SubtensorModule", "move_stake", **args)

    @rule(who=coldkeys, to=coldkeys, hotkey=hotkeys, start=netuids, goal=netuids, amount=amounts)
    def give(self, who: bytes, to: bytes, hotkey: bytes, start: int, goal: int, amount: int) -> None:
        args = {"destination_coldkey": to, "hotkey": hotkey, "origin_netuid": start, "destination_netuid": goal}
        self.send(who, "SubtensorModule", "transfer_stake", **args, alpha_amount=amount)

    @rule(who=coldkeys, hotkey=hotkeys, name=st.sampled_from(["unstake_all", "unstake_all_alpha", "root_register"]))
    def whole(self, who: bytes, hotkey: bytes, name: str) -> None:
        self.send(who, "SubtensorModule", name, hotkey=hotkey)

    @rule(
        who=coldkeys,
        hotkey=hotkeys,
        netuid=netuids,
        children=st.dictionaries(hotkeys, st.integers(0, 2**64 - 1), max_size=3),
    )
    def lend(self, who: bytes, hotkey: bytes, netuid: int, children: dict[bytes, int]) -> None:
        named = [(share, child) for child, share in children.items()]
        self.send(who, "SubtensorModule", "set_children", hotkey=hotkey, netuid=netuid, children=named)

    @rule(name=st.sampled_from(SUDO))
    def administer(self, name: tuple[str, dict[str, Any]]) -> None:
        call = self.chain.runtime.call("AdminUtils", name[0], **name[1])
        self.send(COLDKEYS[0], "Sudo", "sudo", call=call)

    @rule(who=coldkeys, netuid=netuids)
    def begin(self, who: bytes, netuid: int) -> None:
        self.send(who, "SubtensorModule", "start_call", netuid=netuid)

    @invariant()
    def issuance_is_the_sum_of_accounts(self) -> None:
        accounts = [free(self.state, who) for (who,) in self.state.keys(System.Account)]
        assert sum(accounts) == self.state.get(Balances.TotalIssuance)

    @invariant()
    def every_alpha_is_backed(self) -> None:
        for (netuid,) in self.state.keys(S.NetworksAdded):
            held = sum(
                self.state.get(S.TotalHotkeyAlpha, *keys)
                for keys in self.state.keys(S.TotalHotkeyAlpha)
                if keys[1] == netuid
            )
            pending = sum(
                self.state.get(item, netuid)
                for item in (S.PendingOwnerCut, S.PendingServerEmission, S.PendingValidatorEmission)
            )
            tao = free(self.state, subnet_account(netuid))
            assert held + pending <= self.state.get(S.SubnetAlphaOut, netuid) <= tao
            assert tao == self.state.get(S.SubnetTAO, netuid)

    @invariant()
    def shares_are_the_whole_of_each_pool(self) -> None:
        owned: dict[tuple[bytes, int], int] = {}
        for hotkey, coldkey, netuid in self.state.keys(S.AlphaV2):
            owned.setdefault((hotkey, netuid), 0)
            owned[hotkey, netuid] += stake_of(self.state, hotkey, coldkey, netuid)
        for hotkey, netuid in self.state.keys(S.TotalHotkeyAlpha):
            alpha = self.state.get(S.TotalHotkeyAlpha, hotkey, netuid)
            assert abs(owned.get((hotkey, netuid), 0) - alpha) <= len(COLDKEYS)

    @invariant()
    def columns_are_as_long_as_the_subnet(self) -> None:
        for (netuid,) in self.state.keys(S.NetworksAdded):
            n = self.state.get(S.SubnetworkN, netuid)
            for item in (S.Active, S.Incentive, S.Emission, S.LastUpdate, S.ValidatorPermit):
                assert len(self.state.get(item, netuid)) == n
            assert [uid for _, uid in self.state.keys(S.Keys, netuid)] == list(range(n))

    @invariant()
    def names_and_places_are_each_others(self) -> None:
        for (netuid,) in self.state.keys(S.NetworksAdded):
            by_uid = {uid: self.state.get(S.Keys, netuid, uid) for _, uid in self.state.keys(S.Keys, netuid)}
            by_key = {hotkey: self.state.get(S.Uids, netuid, hotkey) for _, hotkey in self.state.keys(S.Uids, netuid)}
            assert {hotkey: uid for uid, hotkey in by_uid.items()} == by_key
            members = {who for who, one in self.state.keys(S.IsNetworkMember) if one == netuid}
            assert members == set(by_key)

    @invariant()
    def parents_and_children_know_each_other(self) -> None:
        down = {
            (parent, netuid, child, share)
            for parent, netuid in self.state.keys(S.ChildKeys)
            for share, child in self.state.get(S.ChildKeys, parent, netuid)
        }
        up = {
            (parent, netuid, child, share)
            for child, netuid in self.state.keys(S.ParentKeys)
            for share, parent in self.state.get(S.ParentKeys, child, netuid)
        }
        assert down == up

    @invariant()
    def no_pallet_breaks(self) -> None:
        # what a call or an epoch did not foresee is caught and logged, so that the chain goes on
        assert self.defects.records == []

    def teardown(self) -> None:
        logging.getLogger("subnet.devnet").removeHandler(self.defects)
        self.chain.store.close()


TestLedger = Ledger.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
