"""A caption joined with the phrases of a vocabulary that CLIP finds nearest to the image."""
