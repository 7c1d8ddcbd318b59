"""The flagship: a frozen encoder, a trained projector, a frozen language model."""
