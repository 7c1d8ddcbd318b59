"""What moves the weights: optimizers, and wrappers around them."""
