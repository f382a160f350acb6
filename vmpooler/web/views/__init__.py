"""What clients are shown: records and counts as JSON."""
