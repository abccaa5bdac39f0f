"""Opt-in benchmarks: each asserts its answer, then shows ours beside what people use today."""
