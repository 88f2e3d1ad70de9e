"""What a model makes of a whole dataset: predictions, metrics, what they depend on, and the rows it finds hardest."""
