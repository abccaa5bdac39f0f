"""Opt-in benchmarks: each checks its answers, then compares ours with what people use today."""
