"""Scores published alerts again from their source records and says what differs."""
