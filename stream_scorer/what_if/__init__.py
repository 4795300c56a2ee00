"""What other thresholds or another model would have done to transactions of known truth."""
