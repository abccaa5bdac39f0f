"""The predictors that come with ensembler: one folder each, and what they share."""
