"""Out-of-fold members from a predictor and images: what `ensembler dump` does."""
