"""The pallets of the local chain, one module a pallet; SubtensorModule is spread over ``subtensor_*``."""
