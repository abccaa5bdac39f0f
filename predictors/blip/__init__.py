"""A BLIP captioner of transformers: image → text → sentence embedding."""
