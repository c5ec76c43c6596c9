"""Registration by proof of work, against a local chain that takes it."""

from __future__ import annotations

import pytest

from subnet.chain import Chain
from subnet.devnet import devnet
from subnet.errors import ChainError
from subnet.keys import load_key


@pytest.mark.e2e
async def test_a_hotkey_works_for_its_place() -> None:
    alice, hotkey, coldkey = load_key("//Alice"), load_key("//Worker"), load_key("//Bob")
    with devnet(production="instant", tempo_rule="legacy") as node:
        async with await Chain.connect(node.url) as chain:
            netuid = (await chain.register_network(alice, load_key("//Owner").ss58_address)).netuid
            await chain.sudo(alice, "AdminUtils", "sudo_set_difficulty", {"netuid": netuid, "difficulty": 50})
            with pytest.raises(ChainError, match=f"subnet {netuid} takes no proof of work"):  # said before any search
                await chain.register(hotkey, netuid, coldkey.ss58_address)
            allow = {"netuid": netuid, "registration_allowed": True}
            await chain.sudo(alice, "AdminUtils", "sudo_set_network_pow_registration_allowed", allow)
            await chain.register(hotkey, netuid, coldkey.ss58_address, work_timeout=120)
            metagraph = await chain.metagraph(netuid)
            assert metagraph.hotkeys[1] == hotkey.ss58_address
            assert metagraph.coldkeys[1] == coldkey.ss58_address
