"""Runtime APIs (``state_call``): SCALE in, SCALE out, at any block.

Each is declared once (:mod:`subnet.devnet.runtime_api.declare`); metadata V15, the dispatch and the
runtime version's list of APIs are derived from that.
"""
