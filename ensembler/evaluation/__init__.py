"""The steps of an evaluation: contestants, repeated nested fits, who leads and how surely."""
