"""Vision transformers of CLIP."""
