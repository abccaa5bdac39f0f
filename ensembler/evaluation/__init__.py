"""Honest scores: nested estimates, paired intervals, what each member contributes."""
