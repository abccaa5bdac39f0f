"""Fits on fewer folds: shared by all that ask, choosing strengths, giving rows out of fold."""
