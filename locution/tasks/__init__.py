"""What a run is for: what it builds, how it is judged, what it answers."""
