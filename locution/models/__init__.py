"""What transforms: networks, and surgery on their layers."""
