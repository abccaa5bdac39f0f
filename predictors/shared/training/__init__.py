"""The training loop and its parts, for every predictor that is a module from pixels to vectors."""
