"""The steps of a fit, which the API strings together: inputs, search, honest scores, freezing."""
