"""Predictors: what they promise, where their files are, and how they are found by name."""
