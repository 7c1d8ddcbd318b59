"""What is minimised: objectives, and what is added to them."""
