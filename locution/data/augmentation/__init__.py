"""Augmentation of pictures and of texts: methods that change what is seen or read, drawn once a step."""
