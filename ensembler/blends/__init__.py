"""Fitted blends: their numbers, and how they turn members' rows into one."""
