"""A study: its definition, its space, its Optuna run."""
