"""The mean target of an image's nearest neighbours among images whose prompts are known."""
