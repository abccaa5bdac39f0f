"""The frozen spec, `ensemble.json`. FORMAT.md is the format on one page."""
