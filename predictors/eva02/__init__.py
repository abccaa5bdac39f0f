"""EVA02 towers."""
