"""Records that could not be scored: how they are written, looked at and fed in again."""
