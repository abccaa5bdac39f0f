"""From vectors to per-row Gram statistics, and from these to weights."""
