"""The Miner: a user's class whose methods answer synapses.

A request comes through the axon (limits, signature), passes :meth:`Miner.admit` on the caller's
claimed hotkey, and reaches the method that takes its type; what that returns is the reply. The
service around it (:mod:`subnet.miners.service`) loads, serves, announces and stops it; tests and
the lab may call the methods directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

from subnet.errors import NotPermitted
from subnet.miners.handlers import Handler, handlers_of
from subnet.service import Actor
from subnet.synapse import Synapse
from subnet.types import Hotkey, Metagraph, Neuron, Rao


class Miner(Actor):
    """Answers synapses. Subclass it with a method for each::

        class DigitsMiner(Miner):
            def load(self) -> None:
                self.model = train_or_restore()

            def classify(self, request: Classify, caller: Caller) -> Labels:
                return Labels(digits=self.model(request.images))

    Handlers are found by the type of their request; plain methods run in threads, ``async def``
    on the loop. A class that can't work raises DeclarationError when it is made.
    """

    tunables: ClassVar[tuple[str, ...]] = (*Actor.tunables, "min_stake", "drain")

    drain: float = 5.0
    """Seconds that requests under way have to finish when the miner stops."""

    min_stake: int = 1_000 * 10**9
    """Stake (RAO of the subnet's alpha) that admits a caller without a validator permit; the default
    is what the real chain asks of whoever sets weights (StakeThreshold)."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        super().__init__(options)
        self._methods = handlers_of(type(self), Miner)
        self._anyone_permitted = False

    @cached_property
    def handlers(self) -> Mapping[type[Synapse[Any]], Handler]:
        """The bound handler of each synapse that this miner answers."""
        return {synapse: getattr(self, name) for synapse, name in self._methods.items()}

    def attach(self, hotkey: Hotkey, metagraph: Metagraph) -> None:
        super().attach(hotkey, metagraph)
        self._anyone_permitted = bool(metagraph.validator_permit.any())

    async def close(self) -> None:
        """Give back what :meth:`load` took. Called once, after the last request that this miner answers."""
        return

    def admit(self, caller: Hotkey, synapse: type[Synapse[Any]]) -> Neuron | None:
        """The caller's neuron, if it is served; raises NotPermitted if not. Override to decide otherwise.

        Served are: the subnet's owner; whoever holds a validator permit; whoever has at least
        ``min_stake``; and, while nobody on the subnet holds a permit (before its first epoch),
        whoever has any stake at all.

        ``caller`` is *claimed*: this runs before the body is read and the signature checked, so it
        must be a quick look-up (here: on the last snapshot, never on the chain) and change nothing.
        None admits a caller that is not on the snapshot.
        """
        metagraph = self.metagraph
        neuron = metagraph.neuron(caller)
        if neuron is None:
            raise NotPermitted(f"this hotkey is not registered on netuid {metagraph.netuid}")
        if (
            neuron.validator_permit
            or neuron.stake >= self.min_stake
            or neuron.hotkey == metagraph.owner_hotkey
            or (not self._anyone_permitted and neuron.stake > Rao(0))
        ):
            return neuron
        raise NotPermitted(f"uid {neuron.uid} holds no validator permit and less stake than this miner asks for")
