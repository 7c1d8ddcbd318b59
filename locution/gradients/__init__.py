"""What is corrected: gradients, their norms, their flow."""
