"""A subnet that forecasts a series: miners commit to a number, reveal it later, and are paid once the truth is known.

``topic.py`` has the series and the clock, ``protocol.py`` is the contract, ``models.py`` and ``miner.py`` answer;
``validator.py`` asks, combines and pays with what ``network.py`` knows, ``reports.py`` is how validators hear each
other's losses, and ``tap.py`` is how the copiers in the cast get at forecasts that are not their own.
"""
