"""A text subnet: miners continue prompts with one language model, validators see whether it was that one.

``protocol`` is what travels, ``models`` the tiny models that are trained at first use, ``judge`` the scoring rule,
``miner`` and ``validator`` what ``subnet run`` takes.
"""
