"""What a trained model is for: predictions without gradients."""
