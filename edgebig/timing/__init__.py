"""Timing: the clock, warm-up, interleaved rounds, statistics and comparison that every measurement shares."""
