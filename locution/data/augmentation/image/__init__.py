"""Augmentation of pictures (N, C, H, W): each example is changed by a draw of its own."""
