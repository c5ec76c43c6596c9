"""Whole subnets to read, run and copy: one folder each, with its protocol, miner, validator and README."""
