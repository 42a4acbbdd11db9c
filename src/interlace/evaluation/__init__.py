"""How good a model is: accuracies, and regions against objects."""
