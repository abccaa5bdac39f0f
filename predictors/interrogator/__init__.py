"""A caption joined with the phrases of a vocabulary that CLIP ranks nearest to the image."""
