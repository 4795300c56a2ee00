"""The same job by stream-scorer and by its peers, on one topic, in turns: `make bench-peers`."""
