"""Plain weights: how a rule gives them on any rows, and what leaves members out or pulls them."""
