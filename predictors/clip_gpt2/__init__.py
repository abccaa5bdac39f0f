"""A frozen CLIP tower, a mapper to prefix tokens, and GPT-2: image → text → sentence embedding."""
