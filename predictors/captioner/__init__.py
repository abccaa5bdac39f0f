"""Any image-to-text model of transformers, asked a question or not → sentence embedding."""
