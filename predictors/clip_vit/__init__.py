"""CLIP's vision transformers."""
