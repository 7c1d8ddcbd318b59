"""The vocabulary: every term by its name, and the part that it names."""
