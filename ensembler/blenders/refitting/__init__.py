"""Fits on fewer folds: shared, to choose strengths, to give out-of-fold rows."""
