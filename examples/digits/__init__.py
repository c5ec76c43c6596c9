"""A subnet that reads handwritten digits: what both sides say, the miners' models, the validators' rule.

``protocol.py`` is the contract, ``miner.py`` answers, ``validator.py`` asks and scores;
``data.py`` holds the images and keeps the hold-out from the miners, ``side_channel.py`` is
how the copier in the cast gets at answers that are not its own.
"""
