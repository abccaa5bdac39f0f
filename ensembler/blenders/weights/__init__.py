"""Plain weights: rules that give them on any rows, leave members out or shrink weights."""
