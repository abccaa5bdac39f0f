"""Honest scores: folds held out, paired intervals, baselines, what a member contributes."""
