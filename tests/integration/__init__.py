"""The rules that only a real Kafka can show."""
