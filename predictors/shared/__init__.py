"""Building blocks that several predictors share."""
