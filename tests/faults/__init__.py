"""The fault harness: what is lost and what is repeated while all around the scorer breaks."""
