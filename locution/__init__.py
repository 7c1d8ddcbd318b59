"""The working vocabulary of machine learning."""
