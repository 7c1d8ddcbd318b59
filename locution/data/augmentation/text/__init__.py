"""Augmentation of texts, as ids of words (N, T) with padding 0: each text is changed by a draw of its own."""
