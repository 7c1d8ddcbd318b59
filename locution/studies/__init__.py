"""Studies ask many runs one question: what is a method worth, which setting is best."""
