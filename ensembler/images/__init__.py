"""Images: finding them in folders, decoding, resizing for a model, streaming in batches."""
