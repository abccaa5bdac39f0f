"""The steps of a fit: inputs, search, scores, caveats, freezing."""
