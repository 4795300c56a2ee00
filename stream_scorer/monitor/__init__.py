"""The model's quality, live: scores, alerts and labels joined as they come."""
