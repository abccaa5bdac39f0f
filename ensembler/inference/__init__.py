"""Applying a frozen spec to images or to embeddings of them: blended rows, a submission."""
