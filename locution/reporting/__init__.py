"""What is shown: progress, trackers, the report of a run."""
