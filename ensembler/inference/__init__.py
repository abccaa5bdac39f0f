"""From a frozen spec and embeddings, or images, to blended embeddings to `submission.csv`."""
