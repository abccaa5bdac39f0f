"""Corrections of a fitted base: maps fitted to its residuals, gains along directions."""
