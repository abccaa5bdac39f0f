"""The steps of a fit, which the API strings together: inputs, search, scores, caveats, freezing."""
