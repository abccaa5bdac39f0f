"""The predictors that ship with ensembler: one folder each, and the code that they share."""
