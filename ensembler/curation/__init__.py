"""Curation of training pairs: imported, filtered, deduplicated, dealt to folds, resized."""
