"""Content and style of an image: CLIP's patches and the Gram features of a ConvNeXt."""
