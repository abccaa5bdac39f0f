"""What an image shows and how it is drawn: CLIP's patches and the Gram features of a ConvNeXt."""
