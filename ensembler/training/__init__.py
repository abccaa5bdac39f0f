"""Training as far as it needs no model: recipes, data, records. The loops are in predictors/."""
