"""What is judged: metrics with intervals, overfitting, bias and variance."""
