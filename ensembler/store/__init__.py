"""The OOF store: members' embeddings joined to samples by id; FORMAT.md is the format."""
