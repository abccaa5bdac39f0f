"""What several predictors are built from."""
