"""Predictors: their contract, their files, and their registry."""
