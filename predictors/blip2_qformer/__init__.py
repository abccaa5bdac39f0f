"""BLIP-2 without its language model: vision tower, Q-Former and a head."""
