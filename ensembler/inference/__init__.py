"""From a frozen spec and embeddings to blended embeddings to `submission.csv`."""
