"""One page that shows a subnet as it runs: ``subnet dashboard``.

A background task reads the chain at each new head (:mod:`subnet.dashboard.onchain`), another the validator's ledger
(:mod:`subnet.dashboard.records`), a third the ``/health`` pages of neurons that were named
(:mod:`subnet.dashboard.probes`). What they find goes to a :class:`~subnet.dashboard.board.Board`, and from there to
every open page as server-sent events. The server (:mod:`subnet.dashboard.server`) only reads; it changes nothing.
"""

from subnet.dashboard.board import Board
from subnet.dashboard.onchain import ChainSource
from subnet.dashboard.probes import HealthSource
from subnet.dashboard.records import LedgerSource
from subnet.dashboard.server import Dashboard

__all__ = ["Board", "ChainSource", "Dashboard", "HealthSource", "LedgerSource"]
