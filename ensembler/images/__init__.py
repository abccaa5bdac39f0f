"""Images: found in folders, decoded, brought to a model's size, streamed in batches."""
