"""Any vision tower that timm names, with a head."""
