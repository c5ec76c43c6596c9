"""``subnet demo``: a whole subnet on one machine, out of the same commands that a user types.

``show`` performs a demo of given ``settings`` in front of somebody. ``play`` conducts: it starts the
processes (``processes``), lays the subnet on the chain (``stage``) for its ``cast``, and has chain and
stores watched (``watch``) into a ``record``; from that record alone come the live view (``display``),
the order of pay (``checks``) and the ``plot``.
"""
