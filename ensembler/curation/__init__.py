"""From pairs as they come to pairs to train on: embedded, without twins, dealt to folds."""
