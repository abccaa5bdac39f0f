"""A CoCa captioner of open_clip: image → text → sentence embedding."""
