"""What enters: sources of examples, and what changes them on their way in."""
