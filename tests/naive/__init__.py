"""Naive oracles: plain loops that share no code with edgebig."""
