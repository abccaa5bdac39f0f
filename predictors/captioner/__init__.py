"""Any image-to-text model of transformers, with or without a question → sentence embedding."""
